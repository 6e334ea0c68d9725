"""What commands print: plain lines that also read well in a file, coloured on a terminal."""

import os
import sys
import textwrap
from typing import Literal

type Tone = Literal["plain", "good", "warning", "bad", "faint", "strong"]

_CODES: dict[Tone, str] = {
    "plain": "0",
    "good": "32",
    "warning": "33",
    "bad": "31",
    "faint": "2",
    "strong": "1",
}


_WIDTH = 86


class Console:
    """Standard output, line by line and at once; quiet when nobody reads it any more."""

    def __init__(self) -> None:
        self._coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def say(self, text: str = "", *, tone: Tone = "plain") -> None:
        """Print one line (or a few)."""
        try:
            print(self.paint(text, tone), flush=True)
        except BrokenPipeError:
            # The reader (`| head`) went away. A supervisor must go on and stop in order.
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115

    def row(self, label: str, text: str, *, tone: Tone = "plain") -> None:
        """Print a label and what it stands for, in two columns; long texts go over lines."""
        is_prose = len(text) > _WIDTH and "\n" not in text
        lines = textwrap.wrap(text, _WIDTH, break_on_hyphens=False) if is_prose else [text]
        for line in lines:
            self.say(f"  {label:<12} {self.paint(line, tone)}")
            label = ""

    def write(self, text: str) -> None:
        """Print a piece of a line, for text that streams in."""
        print(text, end="", flush=True)

    def paint(self, text: str, tone: Tone) -> str:
        """Wrap a text in its colour, where there is a terminal."""
        if not self._coloured or tone == "plain":
            return text
        return f"\x1b[{_CODES[tone]}m{text}\x1b[0m"
