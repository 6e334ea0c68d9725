"""The skills library, one for all, open to every signed-in user (contract/api.md, Skills)."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, status

from api.dependencies import CurrentUser, Runtime
from api.routes.files import UPLOAD_BODY, Path, open_multipart, require_utf8
from api.schemas.files import Entry, FileText, PlacedObject
from api.schemas.skills import Skill, UnpackedSkill
from cattery.errors import BadRequestError, CatteryError
from cattery.files.paths import parse_path
from cattery.files.port import (
    Entry as ListedEntry,
    Placed,
    Skill as ListedSkill,
    TextContent,
    UnpackedSkill as InstalledSkill,
)

router = APIRouter(prefix="/skills", tags=["skills"], dependencies=[Depends(require_utf8)])


@router.get("/catalog", response_model=list[Skill])
async def list_skills(_user: CurrentUser, runtime: Runtime) -> Sequence[ListedSkill]:
    """List the skills, valid ones first."""
    return await runtime.skills().catalog()


@router.get("/list", response_model=list[Entry])
async def list_skill_files(
    _user: CurrentUser,
    runtime: Runtime,
    path: Path = "",
) -> Sequence[ListedEntry]:
    """List a folder of the library."""
    return await runtime.skills().files.list_folder(path)


@router.get("/read", response_model=FileText)
async def read_skill_file(
    _user: CurrentUser,
    runtime: Runtime,
    path: Path = "",
) -> TextContent:
    """Read at most 2 MiB of a text file of the library."""
    return await runtime.skills().files.read_text(path)


@router.post("/upload-zip", response_model=UnpackedSkill, openapi_extra=UPLOAD_BODY)
async def upload_skill(
    _user: CurrentUser,
    runtime: Runtime,
    request: Request,
    path: Path = "",
) -> InstalledSkill:
    """Add the skill that a .zip holds, or replace it whole."""
    upload = open_multipart(request)
    try:
        if not parse_path(path).is_root:
            raise BadRequestError("Skills lie at the top of the library; leave out the path.")
        return await runtime.skills().upload_zip(await upload.open(), upload.chunks())
    except CatteryError:
        await upload.discard()
        raise


@router.delete("/delete", status_code=status.HTTP_204_NO_CONTENT)
async def delete_skill_file(
    _user: CurrentUser,
    runtime: Runtime,
    path: Path = "",
) -> None:
    """Delete a skill, or a file or folder of one."""
    await runtime.skills().files.delete(path)


@router.post("/rename", response_model=PlacedObject)
async def rename_skill_file(
    _user: CurrentUser,
    runtime: Runtime,
    old: Annotated[str, Query(alias="from")] = "",
    new: Annotated[str, Query(alias="to", description="A base name.")] = "",
) -> Placed:
    """Give a skill, or a file or folder of one, another name."""
    return await runtime.skills().files.rename(old, new)


@router.post("/mkdir", response_model=PlacedObject)
async def make_skill_folder(
    _user: CurrentUser,
    runtime: Runtime,
    path: Path = "",
    name: str = "",
) -> Placed:
    """Make a folder in the library."""
    return await runtime.skills().files.make_folder(path, name)
