"""Which models a site offers, and which provider family an id belongs to (contract/api.md)."""

from dataclasses import dataclass
from enum import StrEnum

from cattery.errors import BadRequestError

MAX_MODEL_ID_LENGTH = 200


class ModelFamily(StrEnum):
    """The API that a model is spoken to in, and whose credential it needs."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"

    @property
    def label(self) -> str:
        """The family's name for people."""
        return {ModelFamily.ANTHROPIC: "Anthropic", ModelFamily.OPENAI: "OpenAI"}[self]


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the site offers by name."""

    id: str
    family: ModelFamily
    default: bool = False


ALWAYS_KNOWN = (
    "claude-sonnet-4-6",
    "claude-opus-4-6",
    "claude-opus-4-7",
    "gpt-5.4",
    "gpt-5.5",
)


def family_of(model_id: str) -> ModelFamily:
    """Return the family of a model id: `claude…` is Anthropic's, all others are OpenAI's."""
    return ModelFamily.ANTHROPIC if model_id.startswith("claude") else ModelFamily.OPENAI


def known_models(default: str = ALWAYS_KNOWN[0]) -> list[Model]:
    """List the models that the site offers, exactly one of them the default."""
    ids = ALWAYS_KNOWN if default in ALWAYS_KNOWN else (default, *ALWAYS_KNOWN)
    return [Model(id, family_of(id), default=id == default) for id in ids]  # noqa: A001 - a model's id


def clean_model_id(text: str) -> str:
    """Cut blanks at the ends and check the form of a model id.

    Raises:
        BadRequestError: blank, over 200 characters, or with white space or control characters.
    """
    model_id = text.strip()
    if not model_id:
        raise BadRequestError("A harness needs a model. Choose one, or give the id of your own.")
    if len(model_id) > MAX_MODEL_ID_LENGTH:
        raise BadRequestError(f"A model id has at most {MAX_MODEL_ID_LENGTH} characters.")
    if any(c.isspace() or not c.isprintable() for c in model_id):
        raise BadRequestError("A model id has no white space and no control characters in it.")
    return model_id
