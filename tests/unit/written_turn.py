"""A turn as tests write it: what a ledger admits, turned into rows as the database keeps them."""

from collections.abc import Iterable, Sequence

import orjson

from cattery.events.history import fold_history
from cattery.events.ledger import Ledger
from cattery.events.model import EventType, LoggedEvent, NewEvent, Translated
from cattery.jsontypes import JsonObject

TURN = 7
ACCEPTED = LoggedEvent(
    1, TURN, EventType.PROMPT_ACCEPTED, {"turnId": "t", "messageId": "usr_t", "text": "Hi"}
)


def admit_all(ledger: Ledger, events: Iterable[Translated]) -> list[NewEvent]:
    return [new for event in events for new in ledger.admit(event)]


def logged(events: Sequence[NewEvent], *, after: int = 1, turn_no: int = TURN) -> list[LoggedEvent]:
    """Number events and take their data through JSON, as jsonb would give it back."""
    return [
        LoggedEvent(seq, turn_no, str(event.type), through_json(event.data))
        for seq, event in enumerate(events, after + 1)
    ]


def through_json(data: JsonObject) -> JsonObject:
    encoded = orjson.dumps(data)  # refuses lone surrogates, as PostgreSQL does
    assert b"\\u0000" not in encoded, "jsonb holds no NUL"
    back: JsonObject = orjson.loads(encoded)
    return back


def resumed(rows: Sequence[LoggedEvent]) -> Ledger:
    """Make the ledger of an attempt that takes over from these rows."""
    ledger = Ledger(TURN)
    ledger.replay(rows)
    return ledger


def read_back(rows: Sequence[LoggedEvent]) -> list[JsonObject]:
    """Fold rows into what a person sees of the assistant's message."""
    return [event for message in fold_history([ACCEPTED, *rows])[1:] for event in message.events]


def text_of(rows: Sequence[LoggedEvent], part_id: str = "p") -> str:
    texts = [
        event["data"]["text"]
        for event in read_back(rows)
        if isinstance(event["data"], dict) and event["data"].get("partId") == part_id
    ]
    return "".join(map(str, texts))
