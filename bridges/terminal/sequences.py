"""Cuts a terminal's byte stream into text, controls and escape sequences, across chunk borders.

Grammar: ECMA-48 with the string sequences as xterm reads them. What is unfinished at the end of a
chunk waits for the next one, also half of a UTF-8 letter: a token is always whole, so that a viewer
can join between any two.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

MAX_UNFINISHED = 64 * 1024
"""Bytes of one sequence; a longer one is dropped, else a program could fill our memory."""


class Kind(StrEnum):
    """What a token is."""

    TEXT = "text"
    CONTROL = "control"
    CSI = "csi"
    OSC = "osc"
    STRING = "string"
    ESCAPE = "escape"


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of the stream.

    Attributes:
        raw: the bytes as they came.
        body: text of OSC and other strings, parameters of a CSI with their `?`, `>`, `<` or `=`.
        between: intermediate bytes of CSI and ESC.
        final: the byte that says what a CSI or ESC does.
    """

    kind: Kind
    raw: bytes
    body: bytes = b""
    between: bytes = b""
    final: bytes = b""


_TOKEN = re.compile(
    rb"(?P<text>[\x20-\x7e\x80-\xff]+)"
    rb"|(?P<control>[\x00-\x1a\x1c-\x1f\x7f])"
    rb"|\x1b\[(?P<params>[\x30-\x3f]*)(?P<between>[\x20-\x2f]*)(?P<final>[\x40-\x7e])"
    rb"|\x1b\](?P<osc>[^\x07\x1b\x18\x1a]*)(?:\x07|\x1b\\)"
    rb"|\x1b[PX^_](?P<string>[^\x1b\x18\x1a]*)\x1b\\"
    rb"|\x1b(?P<esc>[\x20-\x2f]*)(?P<last>[\x30-\x4f\x51-\x57\x59\x5a\x5c\x60-\x7e])"
)
_UNFINISHED = re.compile(
    rb"\x1b(?:\[[\x30-\x3f]*[\x20-\x2f]*|\][^\x07\x1b\x18\x1a]*\x1b?"
    rb"|[PX^_][^\x1b\x18\x1a]*\x1b?|[\x20-\x2f]*)\Z"
)


class Tokenizer:
    """Reads chunks; keeps what is unfinished."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[Token]:
        """Give the tokens that are whole now."""
        data, self._rest = self._rest + chunk, b""
        at = 0
        while at < len(data):
            found = _TOKEN.match(data, at)
            if found is None:
                if len(data) - at <= MAX_UNFINISHED and _UNFINISHED.match(data, at):
                    self._rest = data[at:]
                    return
                at += 1  # a broken sequence: its ESC goes, what follows is read anew
                continue
            at = found.end()
            token = _name(found)
            if token.kind is Kind.TEXT and at == len(data):
                whole = len(token.raw) - _cut_letter(token.raw)
                self._rest = token.raw[whole:]
                if not whole:
                    return
                token = Token(Kind.TEXT, token.raw[:whole])
            yield token


def _name(found: re.Match[bytes]) -> Token:
    raw = found.group()
    if found["text"] is not None:
        return Token(Kind.TEXT, raw)
    if found["control"] is not None:
        return Token(Kind.CONTROL, raw)
    if found["final"] is not None:
        return Token(Kind.CSI, raw, found["params"], found["between"], found["final"])
    if found["osc"] is not None:
        return Token(Kind.OSC, raw, found["osc"])
    if found["string"] is not None:
        return Token(Kind.STRING, raw, found["string"])
    return Token(Kind.ESCAPE, raw, b"", found["esc"], found["last"])


def _cut_letter(text: bytes) -> int:
    """Count the bytes of a UTF-8 letter at the end that lacks its last bytes."""
    for back in range(1, min(3, len(text)) + 1):
        byte = text[-back]
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if length > back else 0
        if byte < 0x80:
            return 0
    return 0
