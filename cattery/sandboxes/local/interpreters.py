"""Finds the Python installations that the virtual environments of the tools folder stand on.

A harness in Python is installed as `<tools>/<type>/venv`, whose `bin/python` is a link to an
interpreter elsewhere on this machine (in `~/.pyenv`, in uv's own folder). A confined sandbox must
see that one as well, at the very path that the environment names, and read-only.
"""

import os
from collections.abc import Iterator
from pathlib import Path

_MAX_LINKS = 16
_SEEN_ANYWAY = (Path("/usr"), Path("/bin"), Path("/lib"), Path("/lib64"))
_PARTS = ("bin", "lib", "lib64")
"""Of an installation; what lies beside them in its prefix is nobody's business."""


def find_interpreters(tools: Path) -> tuple[Path, ...]:
    """List the folders that the tools' virtual environments need beside themselves.

    A link may lead to a link (uv names an installation by its minor version): each one's folder is
    listed, because each is looked up on the way.
    """
    found: dict[Path, None] = {}
    for program in sorted(tools.glob("*/venv/bin/python")):
        for prefix in _follow(program, tools):
            for part in _PARTS:
                if (prefix / part).is_dir():
                    found[prefix / part] = None
    return tuple(found)


def _follow(program: Path, tools: Path) -> Iterator[Path]:
    """Go from link to link, and give the prefix of each program outside of what is seen anyway."""
    own = program.parent.parent
    seen_anyway = (*_SEEN_ANYWAY, tools)
    for _ in range(_MAX_LINKS):
        prefix = program.parent.parent
        if prefix != own and not any(program.is_relative_to(root) for root in seen_anyway):
            yield prefix
        if not program.is_symlink():
            break
        program = Path(os.path.normpath(program.parent / program.readlink()))
    real = program.resolve()
    if real != program and not any(real.is_relative_to(root) for root in seen_anyway):
        yield real.parent.parent
