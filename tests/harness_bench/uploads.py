"""Files and skills, put where a person puts them: through the API."""

import io
import zipfile
from pathlib import PurePosixPath

import aiohttp

from tests.harness_bench.scenario import Subject


async def put_file(subject: Subject, path: str, text: str) -> None:
    """Write a file into the project's workspace, with the folders to it."""
    files = f"/projects/{subject.project_id}/files"
    place = PurePosixPath("/") / path
    for folder in reversed(place.parents[:-1]):
        query = {"path": str(folder.parent), "name": folder.name}
        answer = await subject.client.ask("POST", f"{files}/mkdir", query=query)
        assert answer.status in {200, 201, 409}, answer
    form = aiohttp.FormData()
    form.add_field("file", text.encode(), filename=place.name)
    query = {"path": str(place.parent)}
    answer = await subject.client.ask("POST", f"{files}/upload", query=query, form=form)
    assert answer.status == 200, answer


async def add_skill(subject: Subject, slug: str, body: str) -> None:
    """Put a skill into the site's library; one of the same name is replaced."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        head = f"---\nname: {slug}\ndescription: A skill that the bench uses.\n---\n"
        archive.writestr(f"{slug}/SKILL.md", f"{head}\n{body}\n")
    form = aiohttp.FormData()
    form.add_field("file", packed.getvalue(), filename=f"{slug}.zip")
    answer = await subject.client.ask("POST", "/skills/upload-zip", form=form)
    assert answer.status == 200, answer
