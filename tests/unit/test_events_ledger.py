"""The ledger: whatever is told twice, late, in other cuts or rewritten, is written once."""

import pytest

from cattery.events.ledger import INTERRUPTED, Ledger, answer_key, clean_text, question_key
from cattery.events.model import (
    Answer,
    ErrorRaised,
    EventType,
    NewEvent,
    Question,
    QuestionAnswered,
    QuestionAsked,
    QuestionOption,
    StatusChanged,
    TextPiece,
    TitleChanged,
    TodosUpdated,
    ToolFinished,
    ToolStarted,
    Translated,
    TurnEnded,
    UnknownFrame,
    UsageUpdated,
)
from cattery.jsontypes import Json, JsonObject
from tests.unit.written_turn import TURN, admit_all, logged, read_back, resumed, text_of

ASKED = QuestionAsked(
    "q", (Question("Which?", "Colour", (QuestionOption("Red", "warm"), QuestionOption("Blue"))),)
)
ANSWERED = QuestionAnswered("q", (Answer("Which?", ("Red",), "please"),))
TOOL = ToolStarted("t", "bash", '{"command":"ls"}', title="List")
TOOL_END = ToolFinished("t", "bash", "a\nb\n", diff="+a")

EVERY_KIND: list[Translated] = [
    TextPiece("think", "Hm.", 0, thinking=True),
    TextPiece("p", "Hello", 0),
    TOOL,
    TOOL_END,
    ASKED,
    ANSWERED,
    TitleChanged("Cats"),
    ErrorRaised("It rains.", key="rain"),
    ErrorRaised("It snows."),
    StatusChanged("Trying again.", {"attempt": 2}),
    TodosUpdated((("Feed the cat", "pending"),)),
    UsageUpdated(10, 20, 0.25),
]


def test_every_kind_is_written_under_its_contract_name_with_its_fields() -> None:
    written = admit_all(Ledger(TURN), [*EVERY_KIND, UnknownFrame("odd.frame", "x" * 3000)])
    options: list[Json] = [
        {"label": "Red", "description": "warm"},
        {"label": "Blue", "description": ""},
    ]
    question: JsonObject = {
        "question": "Which?",
        "header": "Colour",
        "options": options,
        "multiSelect": False,
    }
    answer: JsonObject = {"question": "Which?", "selectedLabels": ["Red"], "notes": "please"}
    tool: JsonObject = {"toolId": "t", "tool": "bash"}
    assert written == [
        NewEvent(EventType.MESSAGE_THINKING, {"partId": "think", "text": "Hm.", "offset": 0}),
        NewEvent(EventType.MESSAGE_DELTA, {"partId": "p", "text": "Hello", "offset": 0}),
        NewEvent(EventType.TOOL_START, {**tool, "input": '{"command":"ls"}', "title": "List"}),
        NewEvent(
            EventType.TOOL_DONE,
            {**tool, "output": "a\nb\n", "ok": True, "diff": "+a"},
            "tool:t",
        ),
        NewEvent(
            EventType.QUESTION_ASKED,
            {"partId": "q", "questions": [question], "kind": "question"},
            question_key("q"),
        ),
        NewEvent(
            EventType.QUESTION_ANSWERED, {"partId": "q", "answers": [answer]}, answer_key("q")
        ),
        NewEvent(EventType.SESSION_TITLE, {"title": "Cats"}),
        NewEvent(EventType.SESSION_ERROR, {"message": "It rains."}, f"error:{TURN}:rain"),
        NewEvent(EventType.SESSION_ERROR, {"message": "It snows."}),
        NewEvent(EventType.TURN_STATUS, {"message": "Trying again.", "attempt": 2}),
        NewEvent(
            EventType.TODO_UPDATED, {"todos": [{"content": "Feed the cat", "status": "pending"}]}
        ),
        NewEvent(EventType.USAGE_UPDATED, {"inputTokens": 10, "outputTokens": 20, "cost": 0.25}),
        NewEvent(EventType.HARNESS_UNKNOWN, {"frameType": "odd.frame", "preview": "x" * 2000}),
    ]


@pytest.mark.parametrize(
    "event", [pytest.param(e, id=f"{n}-{type(e).__name__}") for n, e in enumerate(EVERY_KIND)]
)
def test_what_was_told_is_not_written_again(event: Translated) -> None:
    before: list[Translated] = [ASKED] if isinstance(event, QuestionAnswered) else []
    ledger = Ledger(TURN)
    rows = logged(admit_all(ledger, [*before, event]))
    assert rows
    assert admit_all(ledger, [*before, event]) == []
    assert admit_all(resumed(rows), [*before, event]) == []


@pytest.mark.parametrize("first", range(len(EVERY_KIND) + 1))
def test_an_attempt_that_sees_any_suffix_again_adds_only_the_rest(first: int) -> None:
    whole = logged(admit_all(Ledger(TURN), EVERY_KIND))
    for seen in range(first, len(EVERY_KIND) + 1):
        rows = logged(admit_all(Ledger(TURN), EVERY_KIND[:seen]))
        more = admit_all(resumed(rows), EVERY_KIND[first:])
        assert [*rows, *logged(more, after=1 + len(rows))] == whole


@pytest.mark.parametrize("start", range(6))
@pytest.mark.parametrize("end", range(6))
def test_any_piece_that_overlaps_gives_only_its_missing_end(start: int, end: int) -> None:
    text = "Hello"
    ledger = Ledger(TURN)
    ledger.admit(TextPiece("p", text[:3], 0))
    fresh = admit_all(ledger, [TextPiece("p", text[start:end], start)])
    expected = text[3:end] if start <= 3 else ""
    assert [event.data for event in fresh] == (
        [{"partId": "p", "text": expected, "offset": 3}] if expected else []
    )


def test_a_piece_after_a_gap_waits_for_the_whole_part() -> None:
    ledger = Ledger(TURN)
    assert ledger.admit(TextPiece("p", "world", 6)) == []
    (whole,) = ledger.admit(TextPiece("p", "Hello world", 0, complete=True))
    assert whole.data == {"partId": "p", "text": "Hello world", "offset": 0}


def test_an_empty_piece_writes_nothing() -> None:
    ledger = Ledger(TURN)
    assert ledger.admit(TextPiece("p", "", 0)) == []
    assert ledger.admit(TextPiece("p", "", 0, complete=True)) == []


def test_the_parts_of_a_sub_agent_name_their_session() -> None:
    (piece,) = Ledger(TURN).admit(TextPiece("p", "Hi", 0, child="ses_2"))
    assert piece.data == {"partId": "p", "text": "Hi", "offset": 0, "child": "ses_2"}


@pytest.mark.parametrize(
    ("whole", "written"),
    [
        ("Hello", []),
        ("Hello ", []),
        ("Hello  ", []),
        ("Hello  you", [("message.delta", "you")]),
        ("Goodbye", [("message.reset", "Goodbye")]),
        ("hello  ", [("message.reset", "hello  ")]),
    ],
)
def test_a_complete_piece_trims_extends_or_replaces_what_was_streamed(
    whole: str, written: list[tuple[str, str]]
) -> None:
    ledger = Ledger(TURN)
    rows = logged(ledger.admit(TextPiece("p", "Hello  ", 0)))
    complete = TextPiece("p", whole, 0, complete=True)
    for attempt in (ledger, resumed(rows)):
        fresh = attempt.admit(complete)
        assert [(event.type.value, event.data["text"]) for event in fresh] == written
        assert attempt.admit(complete) == []


def test_a_rewritten_thought_says_that_it_is_one() -> None:
    ledger = Ledger(TURN)
    ledger.admit(TextPiece("p", "Hm.", 0, thinking=True))
    (reset,) = ledger.admit(TextPiece("p", "Aha.", 0, thinking=True, complete=True))
    assert reset == NewEvent(
        EventType.MESSAGE_RESET, {"partId": "p", "text": "Aha.", "thinking": True}
    )


def test_the_stream_of_a_part_that_was_rewritten_adds_nothing_when_it_is_heard_again() -> None:
    stream: list[Translated] = [
        TextPiece("p", "abc", 0),
        TextPiece("p", "def", 3),
        TextPiece("p", "XYZ", 0, complete=True),
    ]
    ledger = Ledger(TURN)
    rows = logged(admit_all(ledger, stream))
    assert text_of(rows) == "XYZ"
    # The successor reads the history, then what its stream had buffered meanwhile.
    assert admit_all(resumed(rows), [stream[-1], *stream]) == []
    assert admit_all(ledger, stream) == []


def test_a_tools_start_comes_again_only_with_another_input_and_never_after_its_end() -> None:
    ledger = Ledger(TURN)
    fuller = ToolStarted("t", "bash", '{"command":"ls -l"}')
    assert len(admit_all(ledger, [TOOL, TOOL, fuller, fuller])) == 2
    assert ledger.open_tools == ("t",)
    assert len(admit_all(ledger, [TOOL_END, TOOL, fuller, TOOL_END])) == 1
    assert not ledger.open_tools


def test_a_tool_whose_start_was_missed_gets_one_before_its_end() -> None:
    written = Ledger(TURN).admit(TOOL_END)
    assert [(event.type, event.data.get("input")) for event in written] == [
        (EventType.TOOL_START, "{}"),
        (EventType.TOOL_DONE, None),
    ]


def test_a_question_is_asked_once_and_answered_once() -> None:
    ledger = Ledger(TURN)
    assert ledger.admit(ANSWERED) == []  # never asked
    assert len(ledger.admit(ASKED)) == 1
    assert ledger.open_questions == ("q",)
    rows = logged(Ledger(TURN).admit(ASKED))
    assert resumed(rows).open_questions == ("q",)
    assert len(admit_all(ledger, [ANSWERED, ANSWERED, ASKED])) == 1
    assert not ledger.open_questions


def test_an_error_is_told_once_by_its_key_or_by_its_words() -> None:
    ledger = Ledger(TURN)
    told: list[Translated] = [
        ErrorRaised("It failed 5 times: no answer.", key="retries"),
        ErrorRaised("It failed 6 times: no answer.", key="retries"),
        ErrorRaised("It failed 5 times: no answer."),
        ErrorRaised("The key was refused."),
        ErrorRaised("The key was refused.", key="other"),
    ]
    assert [event.data["message"] for event in admit_all(ledger, told)] == [
        "It failed 5 times: no answer.",
        "The key was refused.",
    ]


def test_an_error_with_a_key_is_told_once_by_all_attempts_whatever_its_words() -> None:
    (first,) = Ledger(TURN).admit(ErrorRaised("It failed 5 times.", key="retries"))
    (again,) = resumed(logged([first])).admit(ErrorRaised("It failed 6 times.", key="retries"))
    assert first.dedupe_key is not None
    assert again.dedupe_key == first.dedupe_key  # the log refuses the second


def test_a_state_is_written_only_when_it_changed() -> None:
    ledger = Ledger(TURN)
    usage = [UsageUpdated(1, 1), UsageUpdated(1, 1), UsageUpdated(1, 2), UsageUpdated(1, 1)]
    assert [event.data["outputTokens"] for event in admit_all(ledger, usage)] == [1, 2, 1]


def test_the_harness_being_idle_ends_nothing_by_itself() -> None:
    ledger = Ledger(TURN)
    assert ledger.admit(TurnEnded()) == []
    assert not ledger.ended


def test_the_end_closes_what_is_open_and_comes_exactly_once() -> None:
    ledger = Ledger(TURN)
    done = ToolStarted("t0", "bash", "{}")
    admit_all(ledger, [done, ToolFinished("t0", "bash", ""), TOOL, ASKED])
    rows = logged(admit_all(Ledger(TURN), [done, ToolFinished("t0", "bash", ""), TOOL, ASKED]))
    for attempt in (ledger, resumed(rows)):
        ending = attempt.end({"outcome": "aborted"})
        assert ending == [
            NewEvent(
                EventType.TOOL_DONE,
                {"toolId": "t", "tool": "bash", "output": INTERRUPTED, "ok": False},
                "tool:t",
            ),
            NewEvent(
                EventType.QUESTION_ANSWERED,
                {
                    "partId": "q",
                    "answers": [{"question": "Which?", "selectedLabels": []}],
                    "withdrawn": True,
                },
                answer_key("q"),
            ),
            NewEvent(EventType.SESSION_IDLE, {"outcome": "aborted"}, f"idle:{TURN}"),
        ]
        assert attempt.ended
        assert attempt.end({"outcome": "completed"}) == []
        assert admit_all(attempt, EVERY_KIND) == []


def test_an_attempt_after_the_end_writes_nothing() -> None:
    rows = logged(Ledger(TURN).end({"outcome": "completed"}))
    late = resumed(rows)
    assert late.ended
    assert admit_all(late, EVERY_KIND) == []
    assert late.end({"outcome": "completed"}) == []


HOSTILE = "a\x00b\ud800c\udfffd\u20ac\U0001f600"


def test_what_the_database_cannot_hold_is_replaced_letter_by_letter() -> None:
    assert clean_text(HOSTILE) == "a\ufffdb\ufffdc\ufffdd\u20ac\U0001f600"
    assert clean_text("plain\x00") == "plain\ufffd"
    assert clean_text("plain") == "plain"


HOSTILE_EVENTS: list[Translated] = [
    TextPiece(HOSTILE, HOSTILE, 0),
    TextPiece("p", "streamed", 0),
    TextPiece("p", HOSTILE, 0, complete=True),
    ToolStarted(HOSTILE, HOSTILE, HOSTILE, title=HOSTILE),
    ToolFinished(HOSTILE, HOSTILE, HOSTILE, parsed={HOSTILE: [HOSTILE, {HOSTILE: 1}]}),
    QuestionAsked(HOSTILE, (Question(HOSTILE, HOSTILE, (QuestionOption(HOSTILE, HOSTILE),)),)),
    QuestionAnswered(HOSTILE, (Answer(HOSTILE, (HOSTILE,), HOSTILE),)),
    TitleChanged(HOSTILE),
    ErrorRaised(HOSTILE),
    ErrorRaised("Other.", key=f"key {HOSTILE}"),
    StatusChanged(HOSTILE, {HOSTILE: HOSTILE}),
    TodosUpdated(((HOSTILE, HOSTILE),)),
]


def test_nul_and_lone_surrogates_never_reach_the_log_nor_cost_a_second_writing() -> None:
    ledger = Ledger(TURN)
    written = admit_all(ledger, HOSTILE_EVENTS)
    rows = logged(written)  # raises where JSON or jsonb would
    assert len(rows) == len(HOSTILE_EVENTS)
    for event in written:
        (event.dedupe_key or "").encode()
        assert "\x00" not in (event.dedupe_key or "")
    assert admit_all(ledger, HOSTILE_EVENTS) == []
    repeated = admit_all(resumed(rows), HOSTILE_EVENTS)
    assert [event for event in repeated if event.dedupe_key is None] == []


def test_a_hostile_tool_and_question_are_closed_at_the_end() -> None:
    rows = logged(admit_all(Ledger(TURN), [HOSTILE_EVENTS[3], HOSTILE_EVENTS[5]]))
    ending = resumed(rows).end({})
    assert [event.type for event in ending] == [
        EventType.TOOL_DONE,
        EventType.QUESTION_ANSWERED,
        EventType.SESSION_IDLE,
    ]
    assert len(read_back([*rows, *logged(ending, after=3)])) == 4


def test_the_withdrawal_of_a_question_that_nobody_can_read_is_still_json() -> None:
    ledger = Ledger(TURN)
    ledger.admit(HOSTILE_EVENTS[5])
    logged(ledger.end({}))


def test_an_unknown_frame_is_kept_once_however_often_it_is_told() -> None:
    frames = [UnknownFrame("odd", "{1}"), UnknownFrame("odd", "{2}"), UnknownFrame("even", "{1}")]
    written = admit_all(Ledger(TURN), [*frames, *frames])
    assert written == [NewEvent(frame.type, frame.data()) for frame in frames]
    assert admit_all(resumed(logged(written)), frames) == []


def test_rows_of_other_kinds_do_not_disturb_the_replay() -> None:
    rows = logged(
        [
            NewEvent(EventType.TURN_STARTED, {"turnId": "t"}),
            NewEvent(EventType.HARNESS_UNKNOWN, {"frameType": "x", "preview": ""}),
            NewEvent(EventType.MESSAGE_DELTA, {}),
        ]
    )
    assert len(admit_all(resumed(rows), EVERY_KIND)) == len(EVERY_KIND)


def test_keys_fit_into_an_index_however_long_the_ids_of_a_harness_are() -> None:
    ids = ["x" * 10_000, "x" * 9_999 + "y"]
    asked = [QuestionAsked(each, ()) for each in ids]
    answered = [QuestionAnswered(each, ()) for each in ids]
    tools = [ToolFinished(each, "bash", "") for each in ids]
    errors = [ErrorRaised(each[-9:], key=each) for each in ids]
    written = admit_all(Ledger(TURN), [*asked, *answered, *tools, *errors])
    keys = [event.dedupe_key for event in written if event.dedupe_key]
    assert len(set(keys)) == len(keys) == 8
    assert max(map(len, keys)) < 300
    assert question_key("short") == "question:short"
