"""The custom search attributes, in one place: the server is given them, the code sets them.

Opaque ids only: search attributes are stored in clear and never pass a codec.
"""

from collections.abc import Mapping

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

PROJECT = SearchAttributeKey.for_keyword("CatteryProjectId")
USER = SearchAttributeKey.for_keyword("CatteryUserId")
HARNESS = SearchAttributeKey.for_keyword("CatteryHarnessId")
SESSION = SearchAttributeKey.for_keyword("CatterySessionId")
PHASE = SearchAttributeKey.for_keyword("CatteryPhase")

OF_KIND = {"harness": HARNESS, "project": PROJECT, "user": USER}
"""Which attribute names the object that a deletion is about."""

SEARCH_ATTRIBUTES: Mapping[str, str] = {
    key.name: "Keyword" for key in (PROJECT, USER, HARNESS, SESSION, PHASE)
}
"""Name to type, as `temporal server start-dev --search-attribute NAME=TYPE` takes them."""


def belonging_to(key: SearchAttributeKey[str], object_id: object) -> TypedSearchAttributes:
    """Return what a workflow starts with that sets none by itself."""
    return TypedSearchAttributes([SearchAttributePair(key, str(object_id))])
