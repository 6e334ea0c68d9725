"""Kubernetes' quantities, such as `250m` and `4Gi`: read, written, and said in words."""

import re
from decimal import Decimal
from typing import Final

_FORM: Final = re.compile(r"([+-]?\d+(?:\.\d*)?|\.\d+)(e[+-]?\d+|[numkKMGTPE]i?)?", re.IGNORECASE)
_BINARY: Final = ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_SCALES: Final[dict[str, Decimal]] = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
    "G": Decimal("1e9"),
    "T": Decimal("1e12"),
    "P": Decimal("1e15"),
    "E": Decimal("1e18"),
    **{suffix: Decimal(1024**power) for power, suffix in enumerate(_BINARY, start=1)},
}
_WORDS: Final = ("KiB", "MiB", "GiB", "TiB")


def parse_quantity(text: str) -> Decimal | None:
    """Read a quantity as a plain number; `None` where it is none.

    The form is that of k8s.io/apimachinery/pkg/api/resource: a decimal number with a suffix of
    1000s or 1024s, or with an exponent.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        return None
    number, suffix = Decimal(found[1]), found[2] or ""
    if not suffix:
        return number
    if suffix[0] in "eE" and len(suffix) > 1 and suffix[1] != "i":
        return number.scaleb(int(suffix[1:]))
    scale = _SCALES.get(suffix)
    return None if scale is None else number * scale


def format_bytes(count: int) -> str:
    """Write a number of bytes as a quantity, with the largest suffix that divides it."""
    for power, suffix in reversed(list(enumerate(_BINARY, start=1))):
        if count and count % 1024**power == 0:
            return f"{count // 1024**power}{suffix}"
    return str(count)


def say_bytes(count: Decimal | int) -> str:
    """Say a number of bytes as people do, such as `4 GiB` or `118.3 MiB`."""
    size, unit = Decimal(count), "bytes"
    for larger in _WORDS:
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size.quantize(Decimal('0.1')).normalize():f} {unit}"
