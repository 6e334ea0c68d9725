"""Logs of parts: bounded files, and only what is noteworthy on the terminal."""

import os
import stat
from pathlib import Path

import pytest

from cli.part_logs import (
    PartLog,
    copy_lines,
    noteworthy_of_ours,
    noteworthy_of_postgres,
    noteworthy_of_temporal,
    readable,
)


def test_a_log_is_turned_over_and_old_files_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.part_logs._MAX_BYTES", 20)
    log = PartLog(tmp_path / "api.log")
    for number in range(12):
        log.write(f"line {number:04}".encode())
    log.close()
    assert {path.name: path.read_text().split("\n")[0] for path in tmp_path.iterdir()} == {
        "api.log": "line 0010",
        "api.log.1": "line 0008",
        "api.log.2": "line 0006",
        "api.log.3": "line 0004",
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


async def test_lines_are_copied_whole_and_a_line_without_an_end_is_bounded(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    shown: list[str] = []
    log = PartLog(tmp_path / "api.log")
    os.write(writing, b"first\nsecond \xff\nunfinished")
    os.close(writing)
    await copy_lines(reading, log, shown.append)
    log.close()
    assert shown == ["first", "second \ufffd", "unfinished"]
    assert (tmp_path / "api.log").read_bytes() == b"first\nsecond \xff\nunfinished\n"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('{"level": "info", "event": "turn_started"}', None),
        (
            '{"level": "warning", "event": "turn_retried", "turn_id": "t", "timestamp": "now"}',
            "warning turn_retried turn_id=t",
        ),
        (
            '{"level": "error", "event": "failed", "exception": "Traceback\\nValueError: no"}',
            "error failed ValueError: no",
        ),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
        ("", None),
    ],
)
def test_of_our_own_logs_warnings_and_what_is_no_log_line_is_shown(
    line: str, shown: str | None
) -> None:
    assert noteworthy_of_ours(line) == shown


def test_of_postgres_only_what_concerns_the_server_is_shown() -> None:
    assert noteworthy_of_postgres("… [1] LOG:  ready") is None
    assert noteworthy_of_postgres("… [1] cattery ERROR:  duplicate key") is None
    assert noteworthy_of_postgres("… FATAL:  the database system is starting up") is None
    assert noteworthy_of_postgres("… PANIC:  could not write") == "… PANIC:  could not write"


def test_of_temporal_only_what_ends_it_is_shown() -> None:
    assert noteworthy_of_temporal('{"level": "error", "msg": "shard"}') is None
    assert noteworthy_of_temporal('{"level": "fatal", "msg": "no disk"}') == "fatal no disk"
    assert noteworthy_of_temporal("Error: address in use") == "Error: address in use"


def test_a_line_that_is_no_object_stays_as_it_is() -> None:
    assert readable("[1, 2]") == "[1, 2]"
