"""Answers what a program asks its terminal, once, however many viewers there are, or none.

Questions never reach a viewer: each would answer, and the answers would be typed. Sequences that
act on a viewer's machine (clipboard, files, notifications) are left out as well.
"""

from typing import Final

from bridges.terminal.screen import Screen
from bridges.terminal.sequences import Kind, Token

_COLOURS: Final = {
    "dark": {b"10": b"e6/e6/e6", b"11": b"16/18/1d", b"12": b"e6/e6/e6"},
    "light": {b"10": b"1f/23/28", b"11": b"ff/ff/ff", b"12": b"1f/23/28"},
}
"""Foreground, background and cursor of web/src/terminal's two palettes."""
THEMES: Final = tuple(_COLOURS)
COLORFGBG: Final = {"dark": "15;0", "light": "0;15"}
_PASSED_OSC: Final = (b"0", b"2", b"8")


def answer(token: Token, screen: Screen, theme: str) -> bytes:
    """Return what a terminal types in answer to a token; nothing where it is no question."""
    if token.kind is Kind.OSC:
        return _answer_colour(token.body, theme)
    if token.kind is not Kind.CSI:
        return b""
    if token.between == b"$" and token.final == b"p":
        known = screen.modes.get(token.body.decode())
        return b"\x1b[%b;%d$y" % (token.body, 0 if known is None else 1 if known else 2)
    return b"" if token.between else _answer_report(token.body + token.final, screen, theme)


def _answer_colour(body: bytes, theme: str) -> bytes:
    number, _, rest = body.partition(b";")
    colour = _COLOURS[theme].get(number)
    if not colour or rest != b"?":
        return b""
    return b"\x1b]%b;rgb:%b\x1b\\" % (number, b"/".join(part * 2 for part in colour.split(b"/")))


def _answer_report(asked: bytes, screen: Screen, theme: str) -> bytes:
    match asked:
        case b"c" | b"0c":
            return b"\x1b[?62;22c"
        case b">c" | b">0c":
            return b"\x1b[>0;276;0c"
        case b"5n":
            return b"\x1b[0n"
        case b"6n":
            return b"\x1b[%d;%dR" % (screen.cursor.y + 1, screen.cursor.x + 1)
        case b"?996n":
            return scheme_report(theme)
        case b"?u":
            return b"\x1b[?%bu" % (screen.keyboard[-1:] or ["0"])[0].encode()
        case b"18t":
            cols, rows = screen.size
            return b"\x1b[8;%d;%dt" % (rows, cols)
        case _:
            return b""


def scheme_report(theme: str) -> bytes:
    """Return the report that the colour scheme is now this one (mode 2031)."""
    return b"\x1b[?997;%dn" % (1 if theme == "dark" else 2)


def may_pass(token: Token) -> bool:
    """Tell whether a token is for viewers."""
    match token.kind:
        case Kind.OSC:
            return token.body.partition(b";")[0] in _PASSED_OSC
        case Kind.STRING:
            return False
        case Kind.CSI:
            asks = token.final in (b"c", b"n", b"t") or token.between == b"$"
            return not asks and not (token.final in (b"u", b"q") and token.body[:1] == b"?")
        case _:
            return token.raw != b"\x05"  # ENQ asks for a terminal's name
