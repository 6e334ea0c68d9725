"""The models that the site offers by name (contract/api.md, Models), and their edits by admins.

An id may hold any visible character, slashes and dots too, so that it is always a parameter.
"""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, status

from api.dependencies import AdminUser, CurrentUser, Db, Settings
from api.schemas.errors import answers
from api.schemas.models import Model, ModelCatalog, ModelCreate, ModelUpdate
from api.schemas.text import PlainText
from cattery import catalog
from cattery.db import offered_models
from cattery.errors import BadRequestError
from cattery.settings import ApiSettings

router = APIRouter(tags=["models"])

ModelId = Annotated[PlainText, Query(alias="id", description="Id of the model.")]


@router.get("/models", responses=answers(401))
async def list_models(_: CurrentUser, settings: Settings, database: Db) -> list[Model]:
    """List the models that the site offers by name; any other id is taken as well."""
    async with database.read() as session:
        offered = await offered_models.list_offered(session)
    return _present(offered or _configured(settings))


@router.get("/admin/models", responses=answers(401, 403))
async def read_model_catalog(_: AdminUser, settings: Settings, database: Db) -> ModelCatalog:
    """Tell which models the site offers, and who says so: its settings, or an admin."""
    async with database.read() as session:
        offered = await offered_models.list_offered(session)
    return ModelCatalog(models=_present(offered or _configured(settings)), is_edited=bool(offered))


@router.post(
    "/admin/models", status_code=status.HTTP_201_CREATED, responses=answers(400, 401, 403, 409)
)
async def add_model(_: AdminUser, wanted: ModelCreate, settings: Settings, database: Db) -> Model:
    """Offer one more model."""
    model_id = catalog.clean_model_id(wanted.id)
    edit = partial(catalog.add_model, model_id=model_id, default=wanted.default)
    async with database.write() as session:
        edited = await offered_models.edit_offered(session, _configured(settings), edit)
    return Model.model_validate(next(model for model in edited if model.id == model_id))


@router.patch("/admin/models", responses=answers(400, 401, 403, 404))
async def update_model(
    _: AdminUser, model_id: ModelId, change: ModelUpdate, settings: Settings, database: Db
) -> Model:
    """Make a model the default, and the first of all."""
    if not change.default:
        raise BadRequestError("One model is always the default. Make another one the default.")
    edit = partial(catalog.choose_default, model_id=model_id)
    async with database.write() as session:
        edited = await offered_models.edit_offered(session, _configured(settings), edit)
    return Model.model_validate(next(model for model in edited if model.default))


@router.delete(
    "/admin/models",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=answers(400, 401, 403, 404, 409),
)
async def remove_model(_: AdminUser, model_id: ModelId, settings: Settings, database: Db) -> None:
    """Offer a model no longer; harnesses that have it keep it."""
    edit = partial(catalog.remove_model, model_id=model_id)
    async with database.write() as session:
        await offered_models.edit_offered(session, _configured(settings), edit)


@router.post("/admin/models/reset", responses=answers(401, 403))
async def reset_models(_: AdminUser, settings: Settings, database: Db) -> ModelCatalog:
    """Offer again what the site's settings say."""
    async with database.write() as session:
        await offered_models.reset_offered(session)
    return ModelCatalog(models=_present(_configured(settings)), is_edited=False)


def _configured(settings: ApiSettings) -> list[catalog.Model]:
    return catalog.make_catalog(settings.models, settings.default_model)


def _present(models: list[catalog.Model]) -> list[Model]:
    return [Model.model_validate(model) for model in models]
