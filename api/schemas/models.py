"""Bodies of the routes about models."""

from pydantic import BaseModel, ConfigDict

from api.schemas.text import PlainText, RequestBody
from cattery.catalog import ModelFamily


class Model(BaseModel):
    """A model that the site offers."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    family: ModelFamily
    default: bool


class ModelCatalog(BaseModel):
    """All of them; `is_edited` tells that an admin chose them, and not the site's settings."""

    models: list[Model]
    is_edited: bool


class ModelCreate(RequestBody):
    """A model to offer; its family follows from its id."""

    id: PlainText
    default: bool = False


class ModelUpdate(RequestBody):
    """A model that becomes the default."""

    default: bool
