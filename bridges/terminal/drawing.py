"""Writes a screen as the bytes that draw it on an empty terminal, in the modes that it is in."""

from collections.abc import Iterable
from itertools import groupby

from bridges.terminal.grid import Row
from bridges.terminal.screen import Screen

_NOT_MIRRORED = ("?6", "?2026")
"""Origin mode counts from a region that a mirror has not; a mirror synchronises by itself."""


def draw(screen: Screen) -> bytes:
    """Return what makes a terminal of the same size show this screen, its scrollback above."""
    cols, rows = screen.size
    out = ["\x1bc"]
    main = [*screen.scrollback, *screen.main.lines]
    out.append("\r\n".join(_draw_row(row) for row in main))
    if screen.is_alternate:
        x, y = screen.main_cursor
        out.append(f"\x1b[m\x1b[{y + 1};{x + 1}H\x1b[?1049h\x1b[H")
        out.append("\r\n".join(_draw_row(row) for row in screen.grid.lines))
    out.append("\x1b[m")
    if (screen.grid.top, screen.grid.bottom) != (0, rows - 1):
        out.append(f"\x1b[{screen.grid.top + 1};{screen.grid.bottom + 1}r")
    out += _set_modes(screen)
    y = screen.cursor.y - (screen.grid.top if screen.modes.get("?6") else 0)
    out.append(f"\x1b[{y + 1};{screen.cursor.x + 1}H")
    if screen.cursor.wraps:  # only a letter in the last column brings a terminal there
        letter, style = screen.grid.lines[screen.cursor.y][cols - 1]
        out.append(f"\x1b[{style}m{letter}\x1b[m")
    out.append(f"\x1b[{screen.attributes.text}m" if screen.attributes.text else "")
    return "".join(out).encode("utf-8", "replace")


def mirror(screen: Screen, *, is_fresh: bool) -> bytes:
    """Return what shows this screen in the corner of a larger terminal.

    There the program's own bytes would scroll at other rows than it means. Nothing scrolls here:
    every row is written at its place, all of them in one go.
    """
    cols, rows = screen.size
    out = ["\x1bc" if is_fresh else "", "\x1b[?2026h\x1b[m"]
    for y, row in enumerate(screen.grid.lines):
        out.append(f"\x1b[{y + 1};1H{_draw_row(row)}\x1b[m")
        out.append("\x1b[K" if _is_short(row) else f"\x1b[{y + 1};{cols + 1}H\x1b[K")
    out.append(f"\x1b[{rows + 1};1H\x1b[J")
    for mode, on in screen.modes.items():
        if mode.startswith("?") and mode not in _NOT_MIRRORED:
            out.append(f"\x1b[?{mode[1:]}{'h' if on else 'l'}")
    out.append(f"\x1b[{screen.cursor.y + 1};{screen.cursor.x + 1}H\x1b[?2026l")
    return "".join(out).encode("utf-8", "replace")


def _is_short(row: Row) -> bool:
    return row[-1] == (" ", "")


def _set_modes(screen: Screen) -> Iterable[str]:
    if screen.title:
        yield f"\x1b]2;{screen.title.decode('utf-8', 'replace')}\x07"
    defaults = {"?7": True, "?25": True}
    for mode, on in screen.modes.items():
        if on != defaults.get(mode, False):
            prefix, number = ("?", mode[1:]) if mode.startswith("?") else ("", mode)
            yield f"\x1b[{prefix}{number}{'h' if on else 'l'}"
    if screen.keypad:
        yield "\x1b="
    if screen.shape:
        yield f"\x1b[{screen.shape} q"
    for flags in screen.keyboard:
        yield f"\x1b[>{flags}u"
    for name, value in screen.key_modes.items():
        yield f"\x1b[>{name};{value}m"


def _draw_row(row: Row) -> str:
    end = len(row)
    while end and row[end - 1] == (" ", ""):
        end -= 1
    pieces = []
    for style, cells in groupby(row[:end], key=lambda cell: cell[1]):
        pieces.append(f"\x1b[0;{style}m" if style else "\x1b[m")
        pieces.append("".join(letter for letter, _ in cells))
    return "".join(pieces) + "\x1b[m" if pieces else ""


def read_text(screen: Screen) -> list[str]:
    """Return the letters of the visible rows, for tests and logs."""
    return ["".join(letter for letter, _ in row).rstrip() for row in screen.grid.lines]
