"""Generated requests against the whole OpenAPI document: whatever is sent, nothing breaks.

Schemathesis makes valid and invalid requests from the document. A 5xx is a failure, and so is an
error that is not the contract's `{message, code}`.
"""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.core.result import Ok

from api.openapi import render_document
from tests.api.live import LiveSite, serving
from tests.api.site import Person

EXAMPLES = 16
STREAMS = ("/events", "/message")
"""Their answers do not end by themselves; they have tests of their own."""
DOCUMENT = schemathesis.openapi.from_dict(orjson.loads(render_document()))
OPERATIONS = [
    result.ok()
    for result in DOCUMENT.get_all_operations()
    if isinstance(result, Ok) and not result.ok().path.endswith(STREAMS)
]


@pytest.fixture(scope="module")
def live(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    with serving(database_url, tmp_path_factory.mktemp("live")) as site:
        yield site


@pytest.fixture
def ids(live: LiveSite) -> dict[str, str]:
    """The token of an admin who owns a project with everything in it, and its ids."""
    return live.run(make_everything(live))


async def make_everything(live: LiveSite) -> dict[str, str]:
    owner: Person = await live.site.sign_up("owner", is_admin=True)
    project = await owner.make_project()
    await live.site.make_workspace(project)
    harness = await owner.make_harness(project)
    session = await owner.make_session(harness)
    turn = await owner.post(f"/sessions/{session['session_id']}/prompts", {"text": "Hi"})
    return {
        "token": owner.token,
        "project_id": str(project["project_id"]),
        "harness_id": str(harness["harness_id"]),
        "session_id": str(session["session_id"]),
        "turn_id": turn.json()["turn_id"],
    }


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
@pytest.mark.filterwarnings("ignore")
def test_no_request_breaks_an_operation(
    operation: APIOperation[Any, Any, Any, Any], live: LiveSite, ids: dict[str, str]
) -> None:
    requests = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if operation.body or operation.query or operation.path_parameters:
        requests |= operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=requests, use_real_ids=st.booleans() | st.just(True))
    def check(case: Case[Any], use_real_ids: bool) -> None:
        if use_real_ids:
            real = {name: ids[name] for name in case.path_parameters if name in ids}
            case.path_parameters = {**case.path_parameters, **real}
        bearer = {"Authorization": f"Bearer {ids['token']}"}
        answer = case.call(base_url=live.url, headers=bearer)
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert set(answer.json()) == {"message", "code"}

    check()
