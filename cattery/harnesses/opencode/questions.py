"""opencode's questions under ids that its stream, its history and its waiting list share.

The stream names a question by a request id that the history does not have; both know the tool
call that asks. So our id is made of that call, and the client finds the request again by it.
"""

from cattery.events.model import Answer, Question, QuestionAnswered, QuestionAsked, QuestionOption
from cattery.harnesses.frames import object_of, objects_of, text_of, texts
from cattery.jsontypes import Json, JsonObject

QUESTION_TOOL = "question"


def question_id(request: JsonObject) -> str:
    """Return our id for a `question.asked` request: by its tool call, else its own."""
    tool = object_of(request, "tool")
    message, call = text_of(tool, "messageID"), text_of(tool, "callID")
    return f"{message}.{call}" if message and call else text_of(request, "id")


def question_asked(request: JsonObject, child: str | None) -> QuestionAsked:
    """Turn a `question.asked` request, or one from the waiting list, into the event."""
    return QuestionAsked(question_id(request), _questions(request), child=child)


def question_answered(asked: QuestionAsked, answers: Json) -> QuestionAnswered:
    """Pair opencode's lists of labels with the questions; what is missing was withdrawn."""
    given = answers if isinstance(answers, list) else []
    return QuestionAnswered(
        asked.question_id,
        tuple(
            Answer(question.question, tuple(texts(given[i])) if i < len(given) else ())
            for i, question in enumerate(asked.questions)
        ),
    )


def tool_questions(part: JsonObject, child: str | None) -> list[QuestionAsked | QuestionAnswered]:
    """Read what a `question` tool part shows of its questions, live or in the history."""
    state = object_of(part, "state")
    request: JsonObject = {
        "questions": object_of(state, "input").get("questions"),
        "tool": {"messageID": text_of(part, "messageID"), "callID": text_of(part, "callID")},
    }
    asked = question_asked(request, child)
    if not asked.questions:
        return []
    match text_of(state, "status"):
        case "running":
            return [asked]
        case "completed":
            answers = object_of(state, "metadata").get("answers")
            return [asked, question_answered(asked, answers)]
        case "error":
            return [asked, question_answered(asked, None)]
        case _:
            return []


def _questions(request: JsonObject) -> tuple[Question, ...]:
    return tuple(
        Question(
            question=text_of(question, "question"),
            header=text_of(question, "header"),
            options=tuple(
                QuestionOption(text_of(option, "label"), text_of(option, "description"))
                for option in objects_of(question, "options")
            ),
            multi_select=question.get("multiple") is True,
        )
        for question in objects_of(request, "questions")
    )
