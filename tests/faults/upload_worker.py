"""Uploads skills and dies in the middle, in a fork for each upload.

Run as `python -m tests.faults.upload_worker`; it takes a JSON line an upload and says how it ended.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from cattery.files import skills, syscalls
from tests.faults.outgoing import Outgoing, watch_files


async def upload(root: Path, archive: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        data = archive.read_bytes()
        for begin in range(0, len(data), 512):
            yield data[begin : begin + 512]

    await skills.LocalSkillLibrary(root).upload_zip(archive.name, chunks())


def run(order: dict[str, Any]) -> None:
    """Upload, with every change of a file counted."""
    calls = Outgoing()

    def rename_at(old_fd: int, old: str, new_fd: int, new: str, flags: int) -> None:
        syscalls.rename_at(old_fd, old, new_fd, new, flags)
        calls.passed("upload: rename", effect=True)

    skills.rename_at = rename_at  # type: ignore[attr-defined]
    watch_files(calls)
    calls.arm(order["log"], [], order["cut"], who="upload")
    asyncio.run(upload(Path(order["root"]), Path(order["archive"])))


def main() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            run(json.loads(line))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
