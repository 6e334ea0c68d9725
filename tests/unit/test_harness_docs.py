"""The tables of docs/harnesses/README.md say what the manifests say."""

from cattery.harnesses.manifest import load_manifests
from cattery.settings import default_harnesses
from cli.harness_docs import BEGIN, DOCUMENT, END, render_tables, write_tables

MANIFESTS = load_manifests(default_harnesses())


def test_the_tables_are_up_to_date() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert document == write_tables(document, MANIFESTS.values()), "Run: make docs"


def test_only_what_stands_between_the_marks_is_written() -> None:
    written = write_tables(f"head\n{BEGIN}\nformer words\n{END}\ntail\n", MANIFESTS.values())
    assert written.startswith(f"head\n{BEGIN}\n\n|  | **")
    assert written.endswith(f"\n{END}\ntail\n")
    assert "former words" not in written


def test_every_manifest_has_a_column_in_both_tables() -> None:
    tables = render_tables(MANIFESTS.values()).split("\n\n")
    assert len(tables) == 2
    for table in tables:
        widths = {line.count(" | ") for line in table.splitlines() if not line.startswith("|---")}
        assert widths == {len(MANIFESTS)}
