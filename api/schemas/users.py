"""Bodies of the user routes."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.text import PlainText, RequestBody


class UserName(BaseModel):
    """A user as everybody sees them."""

    model_config = ConfigDict(from_attributes=True)

    user_id: UUID
    username: str


class User(BaseModel):
    """A user as admins see them."""

    model_config = ConfigDict(from_attributes=True)

    user_id: UUID
    username: str
    is_admin: bool
    created_at: datetime
    last_login_at: datetime | None


class UserCreate(RequestBody):
    """A user to be made."""

    username: PlainText
    password: PlainText = Field(description="At least 8 characters.")
    is_admin: bool = False


class UserUpdate(RequestBody):
    """What an admin changes of a user; what is missing or null stays."""

    password: PlainText | None = Field(default=None, description="At least 8 characters.")
    is_admin: bool | None = None
