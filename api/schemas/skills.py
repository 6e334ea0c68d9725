"""What the skills routes answer beside those of files (contract/api.md, Skills)."""

from pydantic import BaseModel, ConfigDict, Field


class Skill(BaseModel):
    """A row of the catalogue."""

    model_config = ConfigDict(from_attributes=True)

    slug: str
    name: str
    description: str
    valid: bool
    reason: str | None = Field(
        default=None,
        exclude_if=lambda reason: reason is None,
        json_schema_extra={"type": "string"},
        description="Why it is not valid; missing where it is.",
    )
    mtime: int = Field(description="Unix seconds.")


class UnpackedSkill(BaseModel):
    """What an uploaded archive became."""

    model_config = ConfigDict(from_attributes=True)

    path: str
    dirs: int = Field(description="Folders, the skill's own included.")
    files: int
