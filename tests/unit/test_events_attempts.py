"""Any number of attempts at a turn, cut anywhere, leave the log of one that was never cut."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given, settings, strategies as st

from cattery.events.appender import merge_deltas
from cattery.events.ledger import Ledger
from cattery.events.model import (
    Answer,
    ErrorRaised,
    EventType,
    LoggedEvent,
    NewEvent,
    Question,
    QuestionAnswered,
    QuestionAsked,
    TextPiece,
    TodosUpdated,
    ToolFinished,
    ToolStarted,
    Translated,
)
from tests.unit.written_turn import TURN, logged, read_back, resumed

TEXT = st.text(st.sampled_from("ab \n\x00\ud83d\ude00\u20ac\U0001f600"), max_size=6)


@st.composite
def part(draw: st.DrawFn, part_id: str) -> list[Translated]:
    """A part as it is streamed, and its final texts: trimmed, extended, the same or rewritten."""
    thinking = draw(st.booleans())
    child = draw(st.sampled_from([None, "ses_2"]))
    told: list[Translated] = []
    text = ""
    for piece in draw(st.lists(TEXT, max_size=3)):
        told.append(TextPiece(part_id, piece, len(text), thinking, child=child))
        text += piece
    finals = st.sampled_from([text, text.rstrip(), text + "more", "O", "O more"])
    for final in draw(st.lists(finals, max_size=3)):
        told.append(TextPiece(part_id, final, 0, thinking, complete=True, child=child))
    return told


@st.composite
def tool(draw: st.DrawFn, tool_id: str) -> list[Translated]:
    starts = [
        ToolStarted(tool_id, "bash", given)
        for given in draw(st.lists(st.sampled_from(["{}", "a"])))
    ]
    ends = [ToolFinished(tool_id, "bash", draw(TEXT))] * draw(st.integers(0, 2))
    return [*starts, *ends]


@st.composite
def question(draw: st.DrawFn, question_id: str) -> list[Translated]:
    told: list[Translated] = [QuestionAsked(question_id, (Question(draw(TEXT), "", ()),))]
    if draw(st.booleans()):
        told.append(QuestionAnswered(question_id, (Answer("Which?", ("Red",)),)))
    return told


def error(name: str) -> st.SearchStrategy[list[Translated]]:
    return st.just([ErrorRaised(f"Failure {name}.")])


def plan(_: str) -> st.SearchStrategy[list[Translated]]:
    return st.builds(lambda text: [TodosUpdated(((text, "pending"),))], TEXT)


@st.composite
def turns(draw: st.DrawFn) -> list[Translated]:
    """What a harness tells in a turn: its strands mixed, each in its own order."""
    kinds = [part, part, part, tool, question, error, plan]
    strands = [
        draw(draw(st.sampled_from(kinds))(f"id{number}"))
        for number in range(draw(st.integers(1, 4)))
    ]
    told: list[Translated] = []
    while strands := [strand for strand in strands if strand]:
        told.append(draw(st.sampled_from(strands)).pop(0))
    return told


@dataclass
class Attempt:
    """An attempt that dies: where it began and ended, and how many of its rows were safe by then.

    Each is a share: of the way back to the start, of the way to the end, of the rows.
    """

    back: float
    ahead: float
    kept: float
    merged: bool


SHARE = st.sampled_from([0, 0.3, 0.7, 1])
attempts = st.lists(st.builds(Attempt, SHARE, SHARE, SHARE, st.booleans()), max_size=3)


def write_in_one(told: Sequence[Translated]) -> list[LoggedEvent]:
    ledger = Ledger(TURN)
    written = [new for event in told for new in ledger.admit(event)]
    return logged([*written, *ledger.end({})])


def write_in_many(told: Sequence[Translated], cuts: Sequence[Attempt]) -> list[LoggedEvent]:
    """Write a turn by attempts that die: each goes back to before what its predecessor lost."""
    rows: list[LoggedEvent] = []
    needed = 0
    for cut in [*cuts, Attempt(1, 1, 1, merged=False)]:
        first = round(needed * (1 - cut.back))
        last = first + round((len(told) - first) * cut.ahead)
        ledger = resumed(rows)
        written = [
            (index, new) for index in range(first, last) for new in ledger.admit(told[index])
        ]
        kept = written[: round(len(written) * cut.kept)]
        lost = [index for index, _ in written[len(kept) :]]
        needed = min(lost) if lost else max(last, needed)
        fresh = [new for _, new in kept]
        rows += logged(merge_deltas(fresh) if cut.merged else fresh, after=1 + len(rows))
    return rows + logged(resumed(rows).end({}), after=1 + len(rows))


def latest(rows: Sequence[LoggedEvent], kind: EventType) -> object:
    return next((row.data for row in reversed(rows) if row.type == kind), None)


@given(turns(), attempts)
@settings(max_examples=100, deadline=None)
def test_attempts_that_overlap_anywhere_leave_what_one_attempt_leaves(
    told: list[Translated], cuts: list[Attempt]
) -> None:
    once = write_in_one(told)
    often = write_in_many(told, cuts)
    assert read_back(often) == read_back(once)
    assert latest(often, EventType.TODO_UPDATED) == latest(once, EventType.TODO_UPDATED)
    assert [row.type for row in often].count(EventType.SESSION_IDLE) == 1
    assert often[-1].type == EventType.SESSION_IDLE


@given(turns(), st.integers(0, 30))
@settings(max_examples=40, deadline=None)
def test_replaying_the_rows_is_the_same_as_having_admitted_the_events(
    told: list[Translated], cut: int
) -> None:
    ledger = Ledger(TURN)
    rows = logged([new for event in told[:cut] for new in ledger.admit(event)])
    successor = resumed(rows)
    assert (successor.open_tools, successor.open_questions) == (
        ledger.open_tools,
        ledger.open_questions,
    )
    rest: list[list[NewEvent]] = [
        [new for event in told[cut:] for new in each.admit(event)] + each.end({})
        for each in (ledger, successor)
    ]
    assert rest[0] == rest[1]
