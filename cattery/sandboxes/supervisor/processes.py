"""Facts about processes, and their ends, straight from Linux's /proc.

A process is known by its id *and* its start time: ids are given out again. Processes that a
harness leaves behind are found by their ancestry (the supervisor is their subreaper, so they
become its children) or, when the supervisor itself was killed, by a mark in their environment.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from uuid import UUID

MARK = "CATTERY_SANDBOX"
"""Environment variable of every process in a sandbox: `<harness id>:<generation>`."""

_PROC = Path("/proc")
_HAS_CHILDREN = (_PROC / f"self/task/{os.getpid()}/children").exists()
_PAGE = os.sysconf("SC_PAGE_SIZE")
_KILL_SECONDS = 5.0
_KILL_PAUSE = 0.02
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Make every orphaned descendant of this process its own child."""
    _control_process(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends."""
    _control_process(_PR_SET_PDEATHSIG, signal.SIGKILL)


def boot_id() -> str:
    """Return the id of this run of the kernel."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks; `None` where it is gone or a zombie."""
    fields = _read_stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def find_descendants(root: int) -> list[int]:
    """List the living processes beneath one, parents before their children."""
    children = _children_of if _HAS_CHILDREN else _scan_children()
    found: list[int] = []
    level = children(root)
    while level:
        found += [pid for pid in level if start_ticks(pid) is not None]
        level = [child for pid in level for child in children(pid)]
    return found


def find_first_child(pid: int) -> int | None:
    """Return the oldest living child of a process; orphans that it has adopted came later."""
    children = _children_of if _HAS_CHILDREN else _scan_children()
    living = [(started, one) for one in children(pid) if (started := start_ticks(one)) is not None]
    return min(living)[1] if living else None


def find_marked(mark: str) -> list[int]:
    """List the living processes whose environment carries a mark, or begins with it."""
    return _find_with(f"{MARK}={mark}")


def find_marked_of(project_id: UUID) -> list[int]:
    """List the living processes in sandboxes whose environment names a project."""
    return _find_with(f"{MARK}=", f"PROJECT_ID={project_id}\0")


def _find_with(*beginnings: str) -> list[int]:
    """List the living processes that have a variable with each of these beginnings."""
    wanted = [f"\0{one}".encode() for one in beginnings]
    found = []
    for pid in _all_pids():
        with contextlib.suppress(OSError):
            environment = b"\0" + (_PROC / str(pid) / "environ").read_bytes() + b"\0"
            if all(one in environment for one in wanted):
                found.append(pid)
    return [pid for pid in found if start_ticks(pid) is not None]


def end_marked(mark: str) -> None:
    """Kill the processes that carry a mark: what a supervisor that was itself killed left behind.

    Raises:
        TimeoutError: one of them would not end.
    """
    deadline = time.monotonic() + _KILL_SECONDS
    while left := find_marked(mark):
        send_signal(left, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {left} cannot be killed")
        time.sleep(_KILL_PAUSE)


def sum_resident(pids: Iterable[int]) -> int:
    """Add up resident memory, in bytes; pages that processes share count in each of them."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError, ValueError):
            total += int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE
    return total


def sum_proportional(pids: Iterable[int]) -> int:
    """Add up proportional memory, in bytes: shared pages count once. Dearer than `sum_resident`."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError):
            for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def send_signal(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes; those that are gone already do not matter."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _control_process(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl option {option} was refused")


def _children_of(pid: int) -> list[int]:
    """Ask the kernel for the children of a process, which costs little on a busy machine."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in (_PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def _scan_children() -> Callable[[int], list[int]]:
    """Do the same for kernels that cannot tell, by looking at every process once."""
    children: dict[int, list[int]] = {}
    for pid in _all_pids():
        fields = _read_stat(pid)
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(pid)
    return lambda pid: children.get(pid, [])


def _all_pids() -> Iterator[int]:
    return (int(name) for name in os.listdir(_PROC) if name.isdigit())  # noqa: PTH208 - names alone


def _read_stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat from the state on; the name may hold anything."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
