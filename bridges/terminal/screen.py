"""What a program has drawn and which modes it has set, followed from the bytes that it writes."""

from collections import deque
from typing import Final

from bridges.terminal.attributes import Attributes
from bridges.terminal.grid import SCROLLBACK, Grid, Row, width_of
from bridges.terminal.sequences import Kind, Token

ALTERNATE: Final = frozenset({"47", "1047", "1049"})
_GRAPHICS: Final = dict(zip("`afgjklmnopqrstuvwxyz{|}~", "◆▒°±┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·", strict=True))


class Cursor:
    """Where the next letter goes. `wraps` means that the row is full and the next one is due."""

    def __init__(self) -> None:
        self.x = self.y = 0
        self.wraps = False


class Screen:
    """A terminal's state."""

    def __init__(self, cols: int, rows: int) -> None:
        self.scrollback: deque[Row] = deque(maxlen=SCROLLBACK)
        self.reset(cols, rows)

    def reset(self, cols: int, rows: int) -> None:
        """Begin anew, as after `ESC c`; the scrollback goes as well."""
        self.scrollback.clear()
        self.main = Grid(cols, rows, self.scrollback)
        self.grid = self.main
        self.cursor = Cursor()
        self.attributes = Attributes()
        self.modes: dict[str, bool] = {"?7": True, "?25": True}
        self.keypad = False
        self.shape = ""
        self.keyboard: list[str] = []
        self.key_modes: dict[str, str] = {}
        self.title = b""
        self._saved: tuple[int, int, Attributes] | None = None
        self._main_saved: tuple[int, int, Attributes] | None = None
        self._charsets = ["B", "B"]
        self._shift = 0
        self._last = " "

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self.grid.cols, self.grid.rows

    @property
    def is_alternate(self) -> bool:
        """Whether the program has taken the second screen, which has no scrollback."""
        return self.grid is not self.main

    def resize(self, cols: int, rows: int) -> None:
        """Take another size. What the program drew stays until it draws again."""
        moved = self.grid.resize(cols, rows, self.cursor.y)
        if self.is_alternate:
            self.main.resize(cols, rows, min(self.main.rows, rows) - 1)
        self._move(self.cursor.x, self.cursor.y - moved)

    def take(self, token: Token) -> None:
        """Follow one token."""
        match token.kind:
            case Kind.TEXT:
                self._write(token.raw.decode("utf-8", "replace"))
            case Kind.CONTROL:
                self._control(token.raw)
            case Kind.CSI:
                self._csi(token)
            case Kind.ESCAPE:
                self._escape(token.between.decode(), token.final.decode())
            case Kind.OSC if token.body[:2] in (b"0;", b"2;"):
                self.title = token.body[2:]
            case _:
                pass

    # --- letters and controls

    def _write(self, text: str) -> None:
        if self._charsets[self._shift] == "0":
            text = "".join(_GRAPHICS.get(letter, letter) for letter in text)
        cursor, style = self.cursor, self.attributes.text
        for letter in text:
            width = 1 if letter.isascii() else width_of(letter)
            if width == 0:
                at = cursor.x if cursor.wraps else max(0, cursor.x - 1)
                self.grid.combine(at, cursor.y, letter)
                continue
            if cursor.wraps or cursor.x + width > self.grid.cols:
                if self.modes.get("?7"):
                    cursor.x, cursor.wraps = 0, False
                    self._index()
                else:
                    cursor.x, cursor.wraps = max(0, self.grid.cols - width), False
            if self.modes.get("4"):
                self.grid.insert_cells(cursor.x, cursor.y, width, self.attributes.erase)
            self.grid.put(cursor.x, cursor.y, letter, style, width)
            self._last = letter
            if cursor.x + width >= self.grid.cols:
                cursor.x, cursor.wraps = self.grid.cols - 1, True
            else:
                cursor.x += width

    def _control(self, byte: bytes) -> None:
        cursor = self.cursor
        match byte:
            case b"\r":
                cursor.x, cursor.wraps = 0, False
            case b"\n" | b"\x0b" | b"\x0c":
                self._index()
                if self.modes.get("20"):
                    cursor.x = 0
            case b"\x08":
                self._move(cursor.x - 1, cursor.y)
            case b"\t":
                self._move((cursor.x // 8 + 1) * 8, cursor.y)
            case b"\x0e" | b"\x0f":
                self._shift = 1 if byte == b"\x0e" else 0
            case _:
                pass

    def _escape(self, between: str, final: str) -> None:
        if between in ("(", ")"):
            self._charsets["()".index(between)] = final
            return
        if between:
            return
        match final:
            case "7":
                self._save()
            case "8":
                self._restore()
            case "D":
                self._index()
            case "E":
                self.cursor.x = 0
                self._index()
            case "M":
                self._reverse_index()
            case "c":
                self.reset(*self.size)
            case "=" | ">":
                self.keypad = final == "="
            case _:
                pass

    # --- control sequences

    def _csi(self, token: Token) -> None:
        params, final = token.body.decode("ascii"), token.final.decode("ascii")
        if token.between:
            if token.between == b" " and final == "q":
                self.shape = params
            elif token.between == b"!" and final == "p":
                self._soft_reset()
            return
        if params[:1] in ("?", ">", "<", "="):
            self._private(params[0], params[1:], final)
        elif final == "m":
            self.attributes.apply(params)
        elif final in "hl":
            self.modes.update(dict.fromkeys(params.split(";"), final == "h"))
        elif final == "r":
            self._set_region(_numbers(params))
        elif not self._move_by(final, _numbers(params)):
            self._edit(final, _numbers(params))

    def _private(self, prefix: str, params: str, final: str) -> None:
        if prefix == "?" and final in "hl":
            for mode in params.split(";"):
                self._set_mode(mode, on=final == "h")
        elif final == "u" and prefix == ">":
            self.keyboard = [*self.keyboard[-15:], params or "0"]
        elif final == "u" and prefix == "<":
            del self.keyboard[max(0, len(self.keyboard) - int(params or 1)) :]
        elif final == "u" and prefix == "=":
            self.keyboard[-1:] = [params.partition(";")[0] or "0"]
        elif final == "m" and prefix == ">":
            name, _, value = params.partition(";")
            self.key_modes[name] = value
        elif final in "JK" and prefix == "?":
            self._edit(final, _numbers(params))

    def _set_mode(self, mode: str, *, on: bool) -> None:
        if mode in ALTERNATE:
            self._switch(to_alternate=on, keeps_cursor=mode == "1049")
        elif mode == "1048":
            (self._save if on else self._restore)()
        else:
            self.modes[f"?{mode}"] = on

    def _switch(self, *, to_alternate: bool, keeps_cursor: bool) -> None:
        if to_alternate == self.is_alternate:
            return
        if to_alternate:
            if keeps_cursor:
                self._save()
            self._main_saved, self._saved = self._saved, None
            self.grid = Grid(*self.size, None)
        else:
            self.grid, self._saved = self.main, self._main_saved
            if keeps_cursor:
                self._restore()
        self._move(self.cursor.x, self.cursor.y)

    def _move_by(self, final: str, given: list[int]) -> bool:
        """Move the cursor; false where the sequence does something else."""
        cursor = self.cursor
        count = max(1, given[0])
        match final:
            case "A" | "F":
                stop = self.grid.top if cursor.y >= self.grid.top else 0
                self._move(0 if final == "F" else cursor.x, max(stop, cursor.y - count))
            case "B" | "e" | "E":
                stop = self.grid.bottom if cursor.y <= self.grid.bottom else self.grid.rows - 1
                self._move(0 if final == "E" else cursor.x, min(stop, cursor.y + count))
            case "C" | "a":
                self._move(cursor.x + count, cursor.y)
            case "D":
                self._move(cursor.x - count, cursor.y)
            case "G" | "`":
                self._move(count - 1, cursor.y)
            case "d":
                self._go(cursor.x, count - 1)
            case "H" | "f":
                self._go(max(1, given[1] if len(given) > 1 else 1) - 1, count - 1)
            case "s":
                self._save()
            case "u":
                self._restore()
            case _:
                return False
        return True

    def _edit(self, final: str, given: list[int]) -> None:
        grid, cursor, blank = self.grid, self.cursor, self.attributes.erase
        count = max(1, given[0])
        match final:
            case "J":
                self._erase_display(given[0])
            case "K":
                self._erase_line(given[0])
            case "X":
                grid.erase(cursor.y, cursor.x, cursor.x + count, blank)
            case "@":
                grid.insert_cells(cursor.x, cursor.y, count, blank)
            case "P":
                grid.delete_cells(cursor.x, cursor.y, count, blank)
            case "b":
                self._write(self._last * min(count, grid.cols * grid.rows))
            case _:
                self._scroll(final, count)

    def _scroll(self, final: str, count: int) -> None:
        grid, y, blank = self.grid, self.cursor.y, self.attributes.erase
        in_region = grid.top <= y <= grid.bottom
        match final:
            case "L" if in_region:
                grid.scroll_down(count, blank, top=y)
            case "M" if in_region:
                grid.scroll_up(count, blank, top=y)
            case "S":
                grid.scroll_up(count, blank)
            case "T":
                grid.scroll_down(count, blank)
            case _:
                pass

    def _erase_line(self, part: int) -> None:
        start = 0 if part else self.cursor.x
        end = self.cursor.x + 1 if part == 1 else self.grid.cols
        self.grid.erase(self.cursor.y, start, end, self.attributes.erase)

    def _erase_display(self, part: int) -> None:
        grid, cursor, blank = self.grid, self.cursor, self.attributes.erase
        if part == 3:
            self.scrollback.clear()
            return
        if part == 0:
            grid.erase(cursor.y, cursor.x, grid.cols, blank)
            grid.erase_rows(cursor.y + 1, grid.rows, blank)
        elif part == 1:
            grid.erase_rows(0, cursor.y, blank)
            grid.erase(cursor.y, 0, cursor.x + 1, blank)
        else:
            grid.erase_rows(0, grid.rows, blank)

    # --- positions

    def _set_region(self, given: list[int]) -> None:
        top = max(1, given[0])
        bottom = given[1] if len(given) > 1 and given[1] else self.grid.rows
        if top < min(bottom, self.grid.rows):
            self.grid.top, self.grid.bottom = top - 1, min(bottom, self.grid.rows) - 1
            self._go(0, 0)

    def _go(self, x: int, y: int) -> None:
        """Move to a place that counts from the region's top where origin mode is on."""
        self._move(x, y + (self.grid.top if self.modes.get("?6") else 0))

    def _move(self, x: int, y: int) -> None:
        self.cursor.x = min(max(0, x), self.grid.cols - 1)
        self.cursor.y = min(max(0, y), self.grid.rows - 1)
        self.cursor.wraps = False

    def _index(self) -> None:
        self.cursor.wraps = False
        if self.cursor.y == self.grid.bottom:
            self.grid.scroll_up(1, self.attributes.erase)
        elif self.cursor.y < self.grid.rows - 1:
            self.cursor.y += 1

    def _reverse_index(self) -> None:
        self.cursor.wraps = False
        if self.cursor.y == self.grid.top:
            self.grid.scroll_down(1, self.attributes.erase)
        elif self.cursor.y > 0:
            self.cursor.y -= 1

    def _save(self) -> None:
        self._saved = (self.cursor.x, self.cursor.y, self.attributes.copy())

    def _restore(self) -> None:
        x, y, attributes = self._saved or (0, 0, Attributes())
        self.attributes = attributes.copy()
        self._move(x, y)

    @property
    def main_cursor(self) -> tuple[int, int]:
        """Where the cursor goes when the program leaves the alternate screen."""
        x, y, _ = self._main_saved or (0, 0, None)
        return min(x, self.main.cols - 1), min(y, self.main.rows - 1)

    def _soft_reset(self) -> None:
        self._saved = self._main_saved = None
        self.attributes = Attributes()
        self.grid.top, self.grid.bottom = 0, self.grid.rows - 1
        self.modes["?6"], self.modes["?25"], self.modes["4"] = False, True, False


def _numbers(params: str) -> list[int]:
    return [int(word[:5]) if word.isdigit() else 0 for word in params.split(";")]
