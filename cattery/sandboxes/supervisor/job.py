"""What a supervisor is asked to do; it comes over its standard input, for it holds secrets."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One sandbox to start and to stand over.

    Attributes:
        folder: the sandbox's own folder.
        digest: see `SandboxRecord`.
        ticket: of this start; without it, it no longer counts.
        argv: the whole command, with bubblewrap before it where the sandbox is confined.
        env: the whole environment.
        files: text files to write beneath HOME, by relative path.
        links: symbolic links to make beneath HOME, by relative path.
        secrets: texts that must not reach the log.
        cpu_seconds: CPU time of one process in all; `None` is no limit.
        memory_bytes: of all processes together.
    """

    folder: str
    harness_id: str
    name: str
    harness_type: str
    generation: int
    digest: str
    ticket: str
    port: int
    password: str
    confined: bool
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    files: Mapping[str, str]
    links: Mapping[str, str]
    secrets: tuple[str, ...]
    cpu_seconds: int | None
    memory_bytes: int
    max_processes: int

    def to_json(self) -> bytes:
        """Write it as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Job":
        """Read what `to_json` wrote."""
        values = json.loads(text)
        for name in ("argv", "secrets"):
            values[name] = tuple(values[name])
        return cls(**values)
