"""What the file routes answer (contract/api.md, Files)."""

from pydantic import BaseModel, ConfigDict, Field

from cattery.files.port import EntryType


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Entry(_Answer):
    """A row of a listing."""

    name: str
    type: EntryType
    size: int = Field(description="Bytes.")
    mtime: int = Field(description="Unix seconds.")


class FileText(_Answer):
    """A file read as text."""

    path: str
    size: int = Field(description="Bytes of the whole file.")
    truncated: bool = Field(description="Whether `content` is only its beginning.")
    binary: bool
    content: str | None = Field(
        default=None,
        # Left out, not null, for a binary file.
        exclude_if=lambda content: content is None,
        json_schema_extra={"type": "string"},
        description="At most 2 MiB of text; missing where the file is binary.",
    )


class UploadedFile(_Answer):
    """A stored file."""

    path: str
    name: str
    size: int


class PlacedObject(_Answer):
    """Where an object is now."""

    path: str
    name: str
