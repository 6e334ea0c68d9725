"""Makes a terminal's output safe for the page that shows it, as a stream.

The program in a sandbox is not trusted, nor is the bridge beside it. Colours, positions and modes
pass. Of the sequences that act outside the screen only titles and links to web pages pass, both
cleaned; clipboard, notifications, files, device strings, and everything that a terminal answers
(the answer would be typed) are left out. Controls of C1 come in UTF-8 only, and are left out too.
"""

import re
from typing import Final

MAX_UNFINISHED: Final = 64 * 1024
"""Bytes of one sequence; of a longer one only the text passes."""
MAX_TITLE: Final = 200
MAX_LINK: Final = 2_000
_TOKEN = re.compile(
    rb"(?P<text>(?:[\x00-\x04\x06-\x1a\x1c-\xc1\xc3-\xff]|\xc2(?![\x80-\x9f])(?!\Z))+)"
    rb"|(?P<dropped>\x05|\xc2[\x80-\x9f])"
    rb"|\x1b\[(?P<params>[\x30-\x3f]*)(?P<between>[\x20-\x2f]*)(?P<final>[\x40-\x7e])"
    rb"|\x1b\](?P<osc>[^\x07\x1b\x18\x1a]*)(?:\x07|\x1b\\)"
    rb"|\x1b[PX^_](?P<string>[^\x1b\x18\x1a]*)\x1b\\"
    rb"|\x1b(?P<esc>[\x20-\x2f]*[\x30-\x4f\x51-\x57\x59\x5c\x60-\x7e])"
)
_UNFINISHED = re.compile(
    rb"(?:\x1b(?:\[[\x30-\x3f]*[\x20-\x2f]*|\][^\x07\x1b\x18\x1a]*\x1b?"
    rb"|[PX^_][^\x1b\x18\x1a]*\x1b?|[\x20-\x2f]*)|\xc2)\Z"
)
_ANSWERED: Final = frozenset(b"cintxz")
"""Final bytes of CSI sequences that are answered, print, or move the window."""
_NOT_IN_TITLES = re.compile("[\\x00-\\x1f\\x7f-\\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_LINK = re.compile(rb"https?://[\x21-\x7e]+", re.IGNORECASE)


class OutputFilter:
    """Filters one stream; a sequence that is cut between chunks waits for its rest."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return what of the stream may be shown now."""
        data, self._rest = self._rest + chunk, b""
        out: list[bytes] = []
        at = 0
        while at < len(data):
            found = _TOKEN.match(data, at)
            if found is not None:
                out.append(_pass(found))
                at = found.end()
            elif len(data) - at <= MAX_UNFINISHED and _UNFINISHED.match(data, at):
                self._rest = data[at:]
                break
            else:
                at += 1  # the ESC of a broken sequence goes; what follows is text
        return b"".join(out)


def _pass(found: re.Match[bytes]) -> bytes:
    if found["text"] is not None or found["esc"] is not None:
        return found.group()
    if found["final"] is not None:
        return b"" if _is_answered(found) else found.group()
    if found["osc"] is not None:
        return _clean_osc(found["osc"])
    return b""


def _is_answered(found: re.Match[bytes]) -> bool:
    params, between, final = found["params"], found["between"], found["final"]
    if final[0] in _ANSWERED or b"$" in between or b"*" in between:
        return True
    return (final == b"q" and params[:1] == b">") or (final == b"u" and params[:1] == b"?")


def _clean_osc(body: bytes) -> bytes:
    number, _, rest = body.partition(b";")
    if number in (b"0", b"2"):
        title = _NOT_IN_TITLES.sub("", rest.decode("utf-8", "ignore"))[:MAX_TITLE]
        return b"\x1b]2;%b\x07" % title.encode()
    if number == b"8":
        address = rest.partition(b";")[2]
        is_safe = len(address) <= MAX_LINK and _LINK.fullmatch(address) is not None
        return b"\x1b]8;;%b\x1b\\" % (address if is_safe else b"")
    return b""
