"""Bodies of the sign-in routes."""

from uuid import UUID

from pydantic import BaseModel, Field

from api.schemas.text import PlainText, RequestBody


class Credentials(RequestBody):
    """A name and a password."""

    username: PlainText = Field(min_length=1)
    password: PlainText = Field(min_length=1)


class PasswordChange(RequestBody):
    """The caller's old and new password."""

    old_password: PlainText
    new_password: PlainText = Field(description="At least 8 characters.")


class Me(BaseModel):
    """The signed-in user, as of now."""

    user_id: UUID
    username: str
    is_admin: bool


class Token(BaseModel):
    """A fresh sign-in."""

    token: str = Field(description="A JWT for `Authorization: Bearer`.")
    user: Me
