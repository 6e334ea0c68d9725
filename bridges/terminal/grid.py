"""The letters of a screen: rows of cells with attributes, a scrolling region, a scrollback."""

import unicodedata
from collections import deque
from functools import lru_cache

type Cell = tuple[str, str]
"""A letter with what combines with it (empty behind a wide one), and its SGR parameters."""
type Row = list[Cell]

BLANK: Cell = (" ", "")
SCROLLBACK = 2_000
"""Rows kept above the screen."""
_MAX_LETTER = 16
"""Code points of one cell: combining marks can be piled up without end."""


@lru_cache(maxsize=4096)
def width_of(letter: str) -> int:
    """Return how many cells a letter takes."""
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


class Grid:
    """Rows and columns. Positions count from 0; the region's last row is in it."""

    def __init__(self, cols: int, rows: int, scrollback: deque[Row] | None) -> None:
        self.cols, self.rows = cols, rows
        self.scrollback = scrollback
        self.lines: list[Row] = [self._blank_row("") for _ in range(rows)]
        self.top, self.bottom = 0, rows - 1

    def put(self, x: int, y: int, letter: str, attributes: str, width: int) -> None:
        """Write a letter; what is left of a wide one beneath it becomes blank."""
        line = self.lines[y]
        self._mend(line, x)
        line[x] = (letter, attributes)
        if width == 2 and x + 1 < self.cols:
            self._mend(line, x + 1)
            line[x + 1] = ("", attributes)
            line[x] = (letter, attributes)

    def combine(self, x: int, y: int, mark: str) -> None:
        """Add a mark to the letter that stands there."""
        line = self.lines[y]
        if x > 0 and line[x][0] == "":
            x -= 1
        letter, attributes = line[x]
        if len(letter) < _MAX_LETTER:
            line[x] = (letter + mark, attributes)

    def erase(self, y: int, start: int, end: int, attributes: str) -> None:
        """Blank the cells `start` to `end - 1` of a row."""
        line = self.lines[y]
        for x in range(max(0, start), min(end, self.cols)):
            self._mend(line, x)
            line[x] = (" ", attributes)

    def erase_rows(self, start: int, end: int, attributes: str) -> None:
        """Blank whole rows."""
        for y in range(start, end):
            self.lines[y] = self._blank_row(attributes)

    def scroll_up(self, count: int, attributes: str, *, top: int | None = None) -> None:
        """Move the region's rows up; from the screen's very top they go into the scrollback."""
        first = self.top if top is None else top
        for _ in range(min(count, self.bottom - first + 1)):
            gone = self.lines.pop(first)
            if first == 0 and top is None and self.scrollback is not None:
                self.scrollback.append(gone)
            self.lines.insert(self.bottom, self._blank_row(attributes))

    def scroll_down(self, count: int, attributes: str, *, top: int | None = None) -> None:
        """Move the region's rows down."""
        first = self.top if top is None else top
        for _ in range(min(count, self.bottom - first + 1)):
            self.lines.pop(self.bottom)
            self.lines.insert(first, self._blank_row(attributes))

    def insert_cells(self, x: int, y: int, count: int, attributes: str) -> None:
        """Push the rest of a row to the right."""
        line = self.lines[y]
        blanks = [(" ", attributes)] * min(count, self.cols - x)
        self.lines[y] = (line[:x] + blanks + line[x:])[: self.cols]

    def delete_cells(self, x: int, y: int, count: int, attributes: str) -> None:
        """Pull the rest of a row to the left."""
        line = self.lines[y]
        count = min(count, self.cols - x)
        self.lines[y] = line[:x] + line[x + count :] + [(" ", attributes)] * count

    def resize(self, cols: int, rows: int, cursor_y: int) -> int:
        """Take another size, keeping the cursor's row; returns by how many rows it moved up."""
        surplus = max(0, cursor_y + 1 - rows)
        for line in self.lines[:surplus]:
            if self.scrollback is not None:
                self.scrollback.append(line)
        kept = self.lines[surplus : surplus + rows]
        self.cols, self.rows = cols, rows
        self.lines = [(line + [BLANK] * (cols - len(line)))[:cols] for line in kept]
        self.lines += [self._blank_row("") for _ in range(rows - len(kept))]
        self.top, self.bottom = 0, rows - 1
        return surplus

    def _blank_row(self, attributes: str) -> Row:
        return [(" ", attributes)] * self.cols

    def _mend(self, line: Row, x: int) -> None:
        """Blank the other half of a wide letter of which one half is about to go."""
        letter, attributes = line[x]
        if letter == "" and x > 0:
            line[x - 1] = (" ", attributes)
        elif x + 1 < self.cols and line[x + 1][0] == "":
            line[x + 1] = (" ", attributes)
