"""Kubernetes' quantities are read, written and said."""

from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from cattery.sandboxes.kubernetes.quantities import format_bytes, parse_quantity, say_bytes


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("0", "0"), ("10", "10"), ("1.5", "1.5"), (".5", "0.5"), ("-1", "-1")),
        *(("250m", "0.25"), ("100n", "1e-7"), ("3u", "3e-6")),
        *(("1k", "1000"), ("2M", "2e6"), ("1E", "1e18"), ("1e3", "1000"), ("12E2", "1200")),
        *(("1Ki", "1024"), ("4Gi", "4294967296"), ("0.5Gi", "536870912"), ("1Ei", str(2**60))),
    ],
)
def test_a_quantity_is_read(text: str, number: str) -> None:
    assert parse_quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1KB", "1ki", "one", "1Gib", "0x10", "1e"])
def test_what_is_no_quantity_is_none(text: str) -> None:
    assert parse_quantity(text) is None


@given(st.integers(0, 2**62))
def test_bytes_are_written_so_that_they_are_read_again(count: int) -> None:
    assert parse_quantity(format_bytes(count)) == count


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (124045312, "118.3 MiB"),
        (100 * 1024**2, "100 MiB"),
        (4 * 1024**3, "4 GiB"),
        (5000 * 1024**4, "5000 TiB"),
    ],
)
def test_bytes_are_said_as_people_do(count: int, words: str) -> None:
    assert say_bytes(count) == words
