"""What no translator knows is kept: named, cut, and without secrets."""

import orjson
import pytest

from cattery.events.model import UnknownFrame
from cattery.harnesses.acp.translator import AcpTranslator
from cattery.harnesses.claude_code.translator import ClaudeCodeTranslator
from cattery.harnesses.opencode.translator import OpencodeTranslator
from cattery.harnesses.unknown import HIDDEN, MAX_PREVIEW, MAX_TYPE, unknown_frame
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.jsontypes import JsonObject

SESSION, PROMPT = HarnessSessionId("ses_1"), HarnessMessageId("msg_1")


def test_a_small_frame_is_kept_as_it_is() -> None:
    frame: JsonObject = {"a": [1, {"b": None}], "text": "Ünïcode", "tokens": {"input": 5}}
    assert unknown_frame("odd.frame", frame) == UnknownFrame(
        "odd.frame", orjson.dumps(frame).decode()
    )


def test_a_large_frame_is_cut_and_says_how_large_it_was() -> None:
    kept = unknown_frame("x" * 1_000, {"text": "y" * 100_000})
    assert kept.frame_type == "x" * MAX_TYPE
    assert len(kept.preview) == MAX_PREVIEW
    assert kept.preview.startswith('{"text":"yyy')
    assert kept.preview.endswith("… (100,011 letters)")
    assert kept.data() == {"frameType": kept.frame_type, "preview": kept.preview}


@pytest.mark.parametrize(("kind", "shown"), [("", "(no type)"), (" a\n\tb ", "a b")])
def test_a_type_is_one_line(kind: str, shown: str) -> None:
    assert unknown_frame(kind, {}).frame_type == shown


@pytest.mark.parametrize(
    "frame",
    [
        {"apiKey": "hush-hush"},
        {"headers": {"Authorization": "hush-hush", "X-Api-Key": ["hush-hush"]}},
        {"nested": [{"credentials": {"any": {"name": "hush-hush"}}}]},
        {"env": "PATH=/bin\nOPENAI_API_KEY=hush-hush\n"},
        {"text": "curl -H 'Authorization: Bearer hush-hush-hush-hush'"},
        {"url": "https://somebody:hush-hush@example.com/x"},
        {"url": "https://example.com/x?token=hush-hush"},
        {"text": "its key is sk-ant-hush-hush, it says"},
        {"text": "ctk_hush-hush"},
        {"text": "ghp_hush-hush"},
        {"text": "eyJhbGciOiJI.hush-hush.hush-hush"},
        {"text": "y" * (MAX_PREVIEW - 60) + " sk-ant-hush-hush" + "y" * 99_999},
    ],
)
def test_secrets_are_not_kept(frame: JsonObject) -> None:
    kept = unknown_frame("odd", frame)
    assert "hush" not in kept.preview
    assert HIDDEN[:5] in kept.preview


def test_each_translator_redacts_what_it_does_not_know() -> None:
    own: JsonObject = {"sessionID": SESSION, "token": "hush-hush"}
    opencode = OpencodeTranslator(SESSION, PROMPT)
    told = opencode.translate({"type": "odd.frame", "properties": own})
    assert told == [UnknownFrame("odd.frame", '{"sessionID":"ses_1","token":"[redacted]"}')]
    for translator in (AcpTranslator(SESSION, PROMPT), ClaudeCodeTranslator(SESSION, PROMPT)):
        told = translator.translate({"type": "odd.frame", **own})
        assert [type(event) for event in told] == [UnknownFrame]
        assert "hush" not in str(told)


def test_what_a_sub_agent_of_opencode_adds_is_kept_and_what_a_stranger_adds_is_not() -> None:
    translator = OpencodeTranslator(SESSION, PROMPT)
    prompt: JsonObject = {
        "info": {"id": PROMPT, "sessionID": SESSION, "role": "user", "time": {"created": 1}}
    }
    translator.translate({"type": "message.updated", "properties": prompt})
    child: JsonObject = {"info": {"id": "ses_2", "parentID": SESSION}}
    translator.translate({"type": "session.created", "properties": child})

    def tell(session: str) -> list[str]:
        added: JsonObject = {"type": "odd.frame", "properties": {"sessionID": session}}
        status: JsonObject = {"sessionID": session, "status": {"type": "dreaming"}}
        frames: list[JsonObject] = [added, {"type": "session.status", "properties": status}]
        events = [event for frame in frames for event in translator.translate(frame)]
        return [event.frame_type for event in events if isinstance(event, UnknownFrame)]

    assert tell("ses_2") == ["odd.frame", "status:dreaming"]
    assert tell("ses_3") == []
