"""The pieces that the local runtime is made of, each alone."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cattery.errors import SandboxSetupError
from cattery.ids import HarnessId, new_id
from cattery.sandboxes.environment import build_environment, find_secrets, is_reserved
from cattery.sandboxes.factory import create_local_runtime
from cattery.sandboxes.local.confinement import probe_confinement
from cattery.sandboxes.local.ports import choose_port, tells_of_taken_port
from cattery.sandboxes.port import SandboxState
from cattery.sandboxes.supervisor import processes
from cattery.sandboxes.supervisor.home import lay_out_file, lay_out_link
from cattery.sandboxes.supervisor.log_file import LogFile, read_tail
from cattery.sandboxes.supervisor.processes import boot_id
from cattery.sandboxes.supervisor.record import (
    RECORD,
    Ending,
    RecordState,
    SandboxRecord,
    is_locked,
    read_record,
    take_lock,
    write_record,
)
from cattery.settings import HomeSettings, SandboxSettings

IMAGES = Path(__file__).parents[2] / "harness_images"


def make_record(**changes: object) -> SandboxRecord:
    record = SandboxRecord(
        harness_id=str(new_id()),
        name="cattery-toy-1",
        harness_type="toy",
        generation=3,
        digest="d",
        port=20001,
        password="p",
        confined=False,
        boot_id=boot_id(),
        supervisor_pid=2**22 + 1,
        supervisor_started=1,
        started_at="2026-01-01T00:00:00+00:00",
        state=RecordState.RUNNING,
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def test_later_parts_of_an_environment_win_and_reserved_names_are_the_platforms() -> None:
    built = build_environment(
        base={"PATH": "/bin", "LANG": "C"},
        user={"PATH": "/evil", "LANG": "de", "MINE": "1", "ld_preload": "x", "TOOL": "mine"},
        platform={"TOOL": "ours"},
    )
    assert built == {"PATH": "/bin", "LANG": "de", "MINE": "1", "TOOL": "ours"}


@pytest.mark.parametrize(
    "name",
    ["LD_AUDIT", "NODE_OPTIONS", "https_proxy", "OPENAI_BASE_URL", "HOME", "CATTERY_X", "BASH_ENV"],
)
def test_a_name_that_could_lead_the_harness_astray_is_reserved(name: str) -> None:
    assert is_reserved(name)


@pytest.mark.parametrize("name", ["GITHUB_TOKEN", "MY_API_KEY", "OPENWEATHER_API_KEY", "DEBUG"])
def test_a_users_own_name_is_not_reserved(name: str) -> None:
    assert not is_reserved(name)


@pytest.mark.parametrize(("name", "value"), [("", "x"), ("1A", "x"), ("A=B", "x"), ("A", "\0")])
def test_a_variable_that_no_program_can_have_is_refused(name: str, value: str) -> None:
    with pytest.raises(SandboxSetupError, match="cannot be used"):
        build_environment(base={}, user={name: value}, platform={})


def test_only_long_values_with_a_telling_name_are_taken_for_secrets() -> None:
    user = {"GITHUB_TOKEN": "ghp_12345678", "API_KEY": "short", "CITY": "Wolverhampton"}
    assert find_secrets(user) == ["ghp_12345678"]


def test_a_secret_that_comes_in_two_pieces_does_not_reach_the_log(tmp_path: Path) -> None:
    log = LogFile(tmp_path, secrets=["sesame-open", "sesame-open-twice"])
    log.write(b"say sesame-")
    log.write(b"open\nand sesame-open-twice\nrest")
    log.close()
    assert (tmp_path / "harness.log").read_text() == "say [redacted]\nand [redacted]\nrest"


def test_a_log_keeps_its_newest_lines_across_the_turn_of_its_files(tmp_path: Path) -> None:
    log = LogFile(tmp_path, secrets=[], max_bytes=1000)
    for number in range(300):
        log.write(f"line {number}\n".encode())
    log.close()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2000
    assert read_tail(tmp_path, 120).splitlines() == [f"line {n}" for n in range(180, 300)]
    assert read_tail(tmp_path, 0) == ""
    assert read_tail(tmp_path / "none", 5) == ""


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    log = LogFile(tmp_path, secrets=[])
    for _ in range(100):
        log.write(b"x" * 1024)
    assert (tmp_path / "harness.log").stat().st_size > 0
    log.close()


def test_files_and_links_are_laid_out_over_whatever_stands_there(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("theirs")
    root = tmp_path / "home"
    root.mkdir()
    (root / "link").symlink_to(outside)
    (root / "name").symlink_to(outside / "file")
    (root / "folder" / "name").mkdir(parents=True)

    lay_out_file(root, "link/file", "ours")
    lay_out_file(root, "name", "ours")
    lay_out_file(root, "folder/name", "ours")
    lay_out_link(root, "a/b", "/skills")
    lay_out_link(root, "a/b", "/skills")

    assert (outside / "file").read_text() == "theirs"
    assert [(root / n).read_text() for n in ("link/file", "name", "folder/name")] == ["ours"] * 3
    assert (root / "a/b").readlink() == Path("/skills")


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "", "."])
def test_nothing_is_laid_out_beside_home(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="beneath HOME"):
        lay_out_file(tmp_path, path, "x")


def test_a_record_is_private_and_reads_back_as_it_was(tmp_path: Path) -> None:
    record = make_record(ending=Ending.EXITED, exit_code=3)
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    assert (tmp_path / RECORD).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"state": "running"}', "\udc80"])
def test_a_record_that_cannot_be_read_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_bytes(text.encode(errors="surrogateescape"))
    assert read_record(tmp_path) is None


def test_the_lock_is_held_by_one_and_let_go_with_its_file(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    lock = take_lock(tmp_path)
    assert lock is not None
    assert is_locked(tmp_path)
    assert take_lock(tmp_path) is None
    os.close(lock)
    assert not is_locked(tmp_path)


@pytest.mark.parametrize(
    ("booted", "reason"), [(None, "killed from outside"), ("another", "machine was restarted")]
)
async def test_a_record_without_a_supervisor_tells_of_a_sandbox_that_was_lost(
    tmp_path: Path, booted: str | None, reason: str
) -> None:
    record = make_record(boot_id=booted or boot_id())
    folder = tmp_path / "sandboxes" / record.harness_id
    folder.mkdir(parents=True)
    write_record(folder, record)
    runtime = create_local_runtime(HomeSettings(home=tmp_path), SandboxSettings(), {})

    (seen,) = await runtime.observe_all()

    assert (seen.state, seen.generation) == (SandboxState.FAILED, 3)
    assert reason in seen.reason
    harness_id = HarnessId(seen.harness_id)
    await runtime.stop(harness_id)
    assert (await runtime.observe(harness_id)).state is SandboxState.ABSENT
    await runtime.close()


async def test_foreign_folders_among_the_sandboxes_are_let_alone(tmp_path: Path) -> None:
    (tmp_path / "sandboxes" / "notes").mkdir(parents=True)
    runtime = create_local_runtime(HomeSettings(home=tmp_path), SandboxSettings(), {})
    assert await runtime.observe_all() == []
    assert (await runtime.observe(HarnessId(new_id()))).state is SandboxState.ABSENT
    assert await runtime.read_log(HarnessId(new_id())) == ""


def test_bubblewrap_that_is_missing_or_refused_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = probe_confinement().describe()
    assert not missing.confined
    assert "bubblewrap is not installed" in missing.summary

    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2\nexit 1\n")
    fake.chmod(0o755)
    refused = probe_confinement().describe()
    assert not refused.confined
    assert "setting up uid map: Permission denied" in refused.summary


def test_chosen_ports_are_free_and_below_those_of_outgoing_connections() -> None:
    port = choose_port(set())
    assert 20000 <= port < 32000


@pytest.mark.parametrize(
    "log",
    [
        "OSError: [Errno 98] Address already in use",
        "error: Failed to start server. Is port 4096 in use?",
        "listen EADDRINUSE: address already in use 127.0.0.1:4096",
    ],
)
def test_a_taken_port_is_known_by_what_harnesses_say_of_it(log: str) -> None:
    assert tells_of_taken_port(log)
    assert not tells_of_taken_port("TypeError: undefined is not a function")


def test_descendants_are_found_whichever_way_the_kernel_tells_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with subprocess.Popen(
        ["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE, text=True
    ) as shell:
        assert shell.stdout is not None
        sleeper = int(shell.stdout.readline())
        try:
            for quick in (True, False):
                monkeypatch.setattr(processes, "_HAS_CHILDREN", quick)
                assert processes.find_descendants(shell.pid) == [sleeper]
                assert processes.find_first_child(shell.pid) == sleeper
                assert processes.find_first_child(sleeper) is None
                assert {shell.pid, sleeper} <= set(processes.find_descendants(os.getpid()))
        finally:
            processes.send_signal([sleeper, shell.pid], signal.SIGKILL)


def test_a_supervisor_loads_the_standard_library_alone() -> None:
    """It runs once for each sandbox; what it loads is paid for that often."""
    code = (
        "import sys, cattery.sandboxes.supervisor.__main__; print([n for n in sys.modules "
        "if n.split('.')[0] in ('psutil', 'pydantic', 'structlog', 'aiohttp', 'asyncio')])"
    )
    said = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True)
    assert said.stdout.strip() == b"[]"
