"""Which models a site offers, and which provider family an id belongs to (contract/api.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cattery.errors import BadRequestError, ConflictError, NotFoundError

MAX_MODEL_ID_LENGTH = 200
MAX_OFFERED = 200
"""Models that a site offers by name; any other id can be given by hand."""


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


def make_catalog(ids: Sequence[str], default: str | None = None) -> list[Model]:
    """List models in their order, exactly one of them the default: by itself the first.

    A default that is not among them comes first.
    """
    chosen = ids[0] if default is None else default
    every = ids if chosen in ids else (chosen, *ids)
    return [Model(id, family_of(id), default=id == chosen) for id in dict.fromkeys(every)]  # noqa: A001 - a model's id


def add_model(catalog: Sequence[Model], model_id: str, *, default: bool) -> list[Model]:
    """Offer one more model: as the last, or as the default, which comes first.

    Raises:
        BadRequestError: the site offers very many already.
        ConflictError: this one is offered.
    """
    ids = [model.id for model in catalog]
    if model_id in ids:
        raise ConflictError(f"The model {model_id} is offered already.")
    if len(ids) >= MAX_OFFERED:
        raise BadRequestError(f"A site offers at most {MAX_OFFERED} models. Remove one first.")
    if default:
        return make_catalog([model_id, *ids])
    return make_catalog([*ids, model_id], _default_of(catalog))


def choose_default(catalog: Sequence[Model], model_id: str) -> list[Model]:
    """Make a model the default, and the first.

    So the first one of each family is the last one of it that was chosen, which is what a harness
    gets that speaks to no other family.

    Raises:
        NotFoundError: it is not offered.
    """
    ids = [model.id for model in catalog]
    if model_id not in ids:
        raise NotFoundError("model")
    return make_catalog([model_id, *ids])


def remove_model(catalog: Sequence[Model], model_id: str) -> list[Model]:
    """Offer a model no longer; where it was the default, the first one is.

    Raises:
        ConflictError: it is the last.
        NotFoundError: it is not offered.
    """
    ids = [model.id for model in catalog]
    if model_id not in ids:
        raise NotFoundError("model")
    if len(ids) == 1:
        raise ConflictError("A site offers at least one model. Add another before this one goes.")
    ids.remove(model_id)
    default = _default_of(catalog)
    return make_catalog(ids, default if default in ids else None)


def _default_of(catalog: Sequence[Model]) -> str:
    return next(model.id for model in catalog if model.default)


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
