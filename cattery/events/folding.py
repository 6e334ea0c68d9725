"""Folds the pieces that a turn's texts came in into whole parts, once nobody follows it live.

What a history shows stays the same to the letter: each part stands where it first appeared, under
its id, with the text that it had in the end. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cattery.events.model import EventType, LoggedEvent
from cattery.jsontypes import Json, JsonObject

ROW = 128 * 1024
"""Letters of a part that one event keeps; a longer part keeps several of its events."""

_TEXTS = frozenset({EventType.MESSAGE_DELTA, EventType.MESSAGE_THINKING, EventType.MESSAGE_RESET})


@dataclass(frozen=True, slots=True)
class Folded:
    """What is to become of a turn's events."""

    changed: Sequence[LoggedEvent]
    """Events that have another text now, under numbers that they had."""
    dropped: Sequence[int]
    """Numbers of the events that are gone."""

    @property
    def floor_seq(self) -> int:
        """The first number from which the log is as it was written; 0 where nothing changes."""
        return max([*(event.seq for event in self.changed), *self.dropped], default=0)


@dataclass(slots=True)
class _Part:
    type: str
    child: Json
    seqs: list[int] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)


def fold_pieces(events: Sequence[LoggedEvent]) -> Folded:
    """Tell how the events of one ended turn are folded; again gives that nothing is to be done."""
    parts: dict[str, _Part] = {}
    for event in events:
        if event.type in _TEXTS:
            _take(parts, event)
    changed: list[LoggedEvent] = []
    dropped: list[int] = []
    turn_no = events[0].turn_no if events else 0
    for part_id, part in parts.items():
        text = "".join(part.pieces)
        rows = -(-len(text) // ROW)
        if not 0 < rows < len(part.seqs):
            continue
        size = -(-len(text) // rows)
        for number, seq in enumerate(part.seqs[:rows]):
            data = _data(part_id, part.child, text[number * size :][:size], number * size)
            changed.append(LoggedEvent(seq, turn_no, part.type, data))
        dropped += part.seqs[rows:]
    return Folded(changed, sorted(dropped))


def _take(parts: dict[str, _Part], event: LoggedEvent) -> None:
    data = event.data
    part = parts.setdefault(str(data["partId"]), _Part(_type_of(event), data.get("child")))
    if event.type == EventType.MESSAGE_RESET:
        part.pieces.clear()
    part.seqs.append(event.seq)
    part.pieces.append(str(data["text"]))


def _type_of(first: LoggedEvent) -> str:
    """Return the type that a part has in a history: that of its first event."""
    if first.type != EventType.MESSAGE_RESET:
        return first.type
    thinking = first.data.get("thinking") is True
    return (EventType.MESSAGE_THINKING if thinking else EventType.MESSAGE_DELTA).value


def _data(part_id: str, child: Json, text: str, offset: int) -> JsonObject:
    data: dict[str, Json] = {"partId": part_id, "text": text, "offset": offset}
    return data if child is None else {**data, "child": child}
