"""What the docs say of harnesses is what their manifests, and the format of these, say."""

import pytest

from cattery.harnesses.manifest import (
    Capabilities,
    FamilyLaunch,
    Install,
    LaunchTemplates,
    Limits,
    Manifest,
    Models,
    load_manifests,
)
from cattery.settings import default_harnesses
from cli.harness_docs import (
    BEGIN,
    END,
    REFERENCE,
    TABLES,
    render_reference,
    render_tables,
    write_between,
)

MANIFESTS = load_manifests(default_harnesses())


def test_the_tables_of_harnesses_are_up_to_date() -> None:
    document = TABLES.read_text(encoding="utf-8")
    assert document == write_between(document, render_tables(MANIFESTS.values())), "Run: make docs"


def test_the_reference_of_manifests_is_up_to_date() -> None:
    document = REFERENCE.read_text(encoding="utf-8")
    assert document == write_between(document, render_reference()), "Run: make docs"


def test_only_what_stands_between_the_marks_is_written() -> None:
    written = write_between(f"head\n{BEGIN}\nformer\n{END}\ntail\n", "words\n")
    assert written == f"head\n{BEGIN}\n\nwords\n\n{END}\ntail\n"


def test_every_manifest_has_a_column_in_both_tables() -> None:
    tables = render_tables(MANIFESTS.values()).split("\n\n")
    assert len(tables) == 2
    for table in tables:
        widths = {line.count(" | ") for line in table.splitlines() if not line.startswith("|---")}
        assert widths == {len(MANIFESTS)}


@pytest.mark.parametrize(
    "table", [Manifest, Install, Models, Capabilities, Limits, LaunchTemplates, FamilyLaunch]
)
def test_every_field_of_a_manifest_is_explained(
    table: type[Manifest] | type[Install] | type[Models] | type[FamilyLaunch],
) -> None:
    unexplained = [name for name, field in table.model_fields.items() if not field.description]
    assert unexplained == []
