"""How many statements a request makes: what each costs in time depends on the machine."""

import pytest

from tests.api.site import Person
from tests.statement_counts import counted_statements


@pytest.mark.parametrize(
    ("what", "most"),
    [("/sessions/{id}", 5), ("/sessions/{id}/prompts", 4), ("/sessions/{id}/history", 4)],
)
async def test_reading_of_a_session_is_few_statements(
    ada: Person, session_id: str, what: str, most: int
) -> None:
    path = what.format(id=session_id)
    with counted_statements() as counts:
        answer = await ada.get(path)
    assert answer.status_code == 200, answer.text
    assert 2 <= sum(counts.values()) <= most, counts


async def test_a_prompt_is_six_statements(ada: Person, session_id: str) -> None:
    with counted_statements() as counts:
        key = {"Idempotency-Key": "once"}
        answer = await ada.post(f"/sessions/{session_id}/prompts", {"text": "Hi"}, headers=key)
    assert answer.status_code == 202, answer.text
    # who asks, what they may see, the harness is in use, the locks, the key, the prompt
    assert sum(counts.values()) == 6, counts
