"""A program for terminals that answers each key with itself, and talks in between.

    python -I -S tests/bench/echo.py LINES_PER_SECOND

Keys come back as they are, at once; a line of its own has colours and digits, no capital letters,
so that whoever measures can tell them apart. Nothing but the system's own calls is in the way.
"""

import os
import select
import sys
import termios
import time
import tty

LINE = b"\r\n\x1b[32m" + b"0123456789 " * 12 + b"\x1b[m"


def main() -> None:
    tty.setraw(0, termios.TCSANOW)
    rate = float(sys.argv[1])
    due = time.monotonic() + (os.getpid() % 100) / 100 / rate if rate else float("inf")
    os.write(1, b"\x1b[2J\x1b[H~ready~")
    while True:
        wait = None if rate == 0 else max(0.0, due - time.monotonic())
        readable, _, _ = select.select([0], [], [], wait)
        if readable:
            keys = os.read(0, 65536)
            if not keys:
                return
            os.write(1, keys)
        elif rate:
            os.write(1, LINE)
            due += 1 / rate


if __name__ == "__main__":
    main()
