"""The models that the site offers, by its settings and by its admins."""

import asyncio

import pytest

from tests.api.conftest import BuildApp
from tests.api.site import Person, Site, made, refused

FIVE = ["claude-sonnet-4-6", "claude-opus-4-6", "claude-opus-4-7", "gpt-5.4", "gpt-5.5"]


async def offered(person: Person) -> list[str]:
    return [model["id"] for model in (await person.get("/models")).json()]


async def default_of(person: Person) -> str:
    (chosen,) = [m["id"] for m in (await person.get("/models")).json() if m["default"]]
    return str(chosen)


async def test_five_models_are_offered_and_one_is_the_default(ada: Person) -> None:
    models = (await ada.get("/models")).json()
    assert [m["id"] for m in models] == FIVE
    assert [m["family"] for m in models] == ["anthropic"] * 3 + ["openai"] * 2
    assert await default_of(ada) == "claude-sonnet-4-6"
    assert set(models[0]) == {"id", "family", "default"}


async def test_an_admin_adds_a_model_and_everybody_sees_it(root: Person, ada: Person) -> None:
    model = made(await root.post("/admin/models", {"id": " qwen3/coder:30b "}))
    assert model == {"id": "qwen3/coder:30b", "family": "openai", "default": False}
    assert await offered(ada) == [*FIVE, "qwen3/coder:30b"]
    refused(await root.post("/admin/models", {"id": "qwen3/coder:30b"}), 409, "qwen3/coder:30b")
    assert (await root.get("/admin/models")).json()["is_edited"] is True


async def test_a_model_can_become_the_default_at_once_or_later(root: Person, ada: Person) -> None:
    made(await root.post("/admin/models", {"id": "claude-next", "default": True}))
    assert await default_of(ada) == "claude-next"
    answer = await root.patch("/admin/models", {"default": True}, params={"id": "gpt-5.5"})
    assert answer.json() == {"id": "gpt-5.5", "family": "openai", "default": True}
    assert await default_of(ada) == "gpt-5.5"
    assert (await offered(ada))[:2] == ["gpt-5.5", "claude-next"]
    missing = await root.patch("/admin/models", {"default": True}, params={"id": "nosuch"})
    refused(missing, 404, "model")
    none = await root.patch("/admin/models", {"default": False}, params={"id": "gpt-5.5"})
    refused(none, 400, "always the default")


async def test_a_removed_default_is_followed_by_the_first(root: Person, ada: Person) -> None:
    gone = await root.delete("/admin/models", params={"id": "claude-sonnet-4-6"})
    assert gone.status_code == 204
    assert await offered(ada) == FIVE[1:]
    assert await default_of(ada) == "claude-opus-4-6"
    refused(await root.delete("/admin/models", params={"id": "nosuch"}), 404, "model")


async def test_the_last_model_stays(root: Person) -> None:
    for model in FIVE[1:]:
        await root.delete("/admin/models", params={"id": model})
    refused(await root.delete("/admin/models", params={"id": FIVE[0]}), 409, "at least one")


async def test_a_removed_model_can_still_be_given_by_hand(root: Person) -> None:
    await root.delete("/admin/models", params={"id": "gpt-5.5"})
    harness = await root.make_harness(await root.make_project(), model="gpt-5.5")
    assert harness["model"] == "gpt-5.5"


async def test_a_reset_brings_back_what_the_settings_say(root: Person, ada: Person) -> None:
    made(await root.post("/admin/models", {"id": "other"}))
    catalog = (await root.post("/admin/models/reset")).json()
    assert catalog == (await root.get("/admin/models")).json()
    assert catalog["is_edited"] is False
    assert await offered(ada) == FIVE


async def test_two_admins_at_once_lose_nothing(root: Person, ada: Person) -> None:
    names = [f"model-{number}" for number in range(8)]
    answers = await asyncio.gather(*(root.post("/admin/models", {"id": n}) for n in names))
    assert {answer.status_code for answer in answers} == {201}
    assert set(await offered(ada)) == {*FIVE, *names}


@pytest.mark.parametrize("model", ["", "  ", "a b", "a\tb", "a\u0007b", "x" * 201])
async def test_a_malformed_id_is_refused(root: Person, model: str) -> None:
    refused(await root.post("/admin/models", {"id": model}), 400, "model")


async def test_the_settings_name_the_models_and_the_default(
    site: Site, ada: Person, build_app: BuildApp
) -> None:
    app = build_app(models="gpt-5.5, claude-haiku", default_model="claude-haiku")
    other = Site(app, site.database, site.lifecycles)
    client = other.client(headers={"Authorization": f"Bearer {ada.token}"})
    person = Person(ada.name, ada.user_id, ada.token, client)
    async with client:
        assert await offered(person) == ["gpt-5.5", "claude-haiku"]
        assert await default_of(person) == "claude-haiku"
