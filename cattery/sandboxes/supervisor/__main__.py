"""Starts a supervisor: `python -m cattery.sandboxes.supervisor`, with a `Job` on standard input.

The command itself ends as soon as the supervisor, a process of its own session, has taken the
sandbox's lock and its record is true. Exit codes: 0 it stands; `LOCKED` another one does already,
or the start was given up meanwhile; anything else, it could not even begin (the sandbox's
`log/supervisor.log` says why).
"""

import os
import sys
from pathlib import Path

from cattery.sandboxes.supervisor.job import Job
from cattery.sandboxes.supervisor.record import holds_ticket, take_lock
from cattery.sandboxes.supervisor.watch import Watch

LOCKED = 75
_ANSWERS = {b"+": 0, b"-": LOCKED}


def main() -> int:
    """Read the job, start the supervisor in the background, and wait for its first word."""
    job = Job.from_json(sys.stdin.buffer.read())
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        os.close(read_end)
        _supervise(job, write_end)
        return 0
    os.close(write_end)
    return _ANSWERS.get(os.read(read_end, 1), 1)


def _supervise(job: Job, answer: int) -> None:
    os.setsid()
    os.chdir("/")
    folder = Path(job.folder)
    if not folder.is_dir() or take_lock(folder) is None or not holds_ticket(folder, job.ticket):
        os.write(answer, b"-")
        return
    _point_streams_at(folder / "log" / "supervisor.log")

    def say_started() -> None:
        os.write(answer, b"+")
        os.close(answer)

    Watch(job).run(say_started)


def _point_streams_at(log: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    descriptor = os.open(log, flags, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(nothing)
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
