"""The bridge's questions as platform events. Their ids are the bridge's, in stream and history."""

from cattery.events.model import (
    Answer,
    Question,
    QuestionAnswered,
    QuestionAsked,
    QuestionKind,
    QuestionOption,
)
from cattery.harnesses.frames import objects_of, text_of, texts_of
from cattery.jsontypes import JsonObject


def question_asked(frame: JsonObject, child: str | None) -> QuestionAsked:
    """Turn a `question.asked` into the event."""
    permission = text_of(frame, "kind") == QuestionKind.PERMISSION
    return QuestionAsked(
        question_id=text_of(frame, "questionId"),
        questions=tuple(_question(question) for question in objects_of(frame, "questions")),
        kind=QuestionKind.PERMISSION if permission else QuestionKind.QUESTION,
        child=child,
    )


def question_answered(frame: JsonObject, asked: QuestionAsked | None) -> QuestionAnswered:
    """Turn a `question.closed` into the event; without answers the question was withdrawn."""
    given = {text_of(answer, "question"): answer for answer in objects_of(frame, "answers")}
    texts = [question.question for question in asked.questions] if asked else [*given]
    return QuestionAnswered(
        text_of(frame, "questionId"), tuple(_answer(text, given.get(text, {})) for text in texts)
    )


def _answer(question: str, answer: JsonObject) -> Answer:
    labels = tuple(texts_of(answer, "selectedLabels"))
    return Answer(question, labels, text_of(answer, "notes") or None)


def _question(question: JsonObject) -> Question:
    return Question(
        question=text_of(question, "question"),
        header=text_of(question, "header"),
        options=tuple(
            QuestionOption(
                text_of(option, "label"),
                text_of(option, "description"),
                text_of(option, "preview") or None,
            )
            for option in objects_of(question, "options")
        ),
        multi_select=question.get("multiSelect") is True,
    )
