"""Bodies of the project and member routes."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from api.schemas.text import Name, PlainText, RequestBody


class Project(BaseModel):
    """A project as the caller sees it."""

    model_config = ConfigDict(from_attributes=True)

    project_id: UUID
    owner_user_id: UUID
    project_name: str | None
    access_role: Literal["owner", "member"]
    owner_username: str
    created_at: datetime


class ProjectCreate(RequestBody):
    """A project to be made."""

    project_name: Name | None = None


class ProjectUpdate(RequestBody):
    """A project's new name."""

    project_name: Name


class Member(BaseModel):
    """A user who shares a project."""

    model_config = ConfigDict(from_attributes=True)

    project_id: UUID
    user_id: UUID
    username: str
    role: Literal["member"] = "member"
    created_at: datetime


class MemberCreate(RequestBody):
    """A user to share a project with."""

    username: PlainText
