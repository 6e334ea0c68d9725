"""The file by which a supervisor sees that a worker polls."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import pytest

from workers.readiness import showing_readiness


async def test_the_file_is_there_at_once_kept_fresh_and_gone_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "ready"
    async with showing_readiness(file, interval=timedelta(milliseconds=5)):
        os.utime(file, (0, 0))
        async with asyncio.timeout(5):
            while file.stat().st_mtime == 0:
                await asyncio.sleep(0.005)
    assert not file.exists()


async def test_a_file_that_somebody_took_away_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "ready"
    async with showing_readiness(file, interval=timedelta(milliseconds=5)):
        file.unlink()
        async with asyncio.timeout(5):
            while not file.exists():
                await asyncio.sleep(0.005)


async def test_without_a_file_nothing_is_shown() -> None:
    async with showing_readiness(None):
        pass


async def test_a_worker_that_cannot_show_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with showing_readiness(tmp_path / "missing" / "ready"):
            pytest.fail("it started")
