"""The catalogue of models: one default always, in whatever order it is edited."""

import pytest
from pydantic import SecretStr, ValidationError

from cattery.catalog import (
    ALWAYS_KNOWN,
    MAX_OFFERED,
    Model,
    ModelFamily,
    add_model,
    choose_default,
    make_catalog,
    remove_model,
)
from cattery.errors import BadRequestError, ConflictError, NotFoundError
from cattery.settings import ApiSettings

TWO = make_catalog(["claude-a", "b"])


def settings() -> ApiSettings:
    return ApiSettings(jwt_secret=SecretStr("s" * 32))


def test_a_catalogue_has_its_first_model_as_the_default() -> None:
    assert [
        Model("claude-a", ModelFamily.ANTHROPIC, default=True),
        Model("b", ModelFamily.OPENAI),
    ] == TWO


def test_a_default_that_is_not_listed_comes_first_and_nothing_comes_twice() -> None:
    assert [one.id for one in make_catalog(["b", "b"], "a")] == ["a", "b"]
    assert [one.default for one in make_catalog(["b", "a"], "a")] == [False, True]


def test_edits_keep_exactly_one_default() -> None:
    three = add_model(TWO, "c", default=False)
    assert three == make_catalog(["claude-a", "b", "c"])
    assert add_model(TWO, "c", default=True) == make_catalog(["c", "claude-a", "b"])
    assert choose_default(three, "b") == make_catalog(["b", "claude-a", "c"])
    assert remove_model(choose_default(three, "b"), "c") == make_catalog(["b", "claude-a"])
    assert remove_model(make_catalog(["a", "b", "c"], "b"), "a") == make_catalog(["b", "c"])
    assert remove_model(choose_default(three, "b"), "b") == make_catalog(["claude-a", "c"])


def test_the_first_of_a_family_is_the_one_of_it_that_was_chosen_last() -> None:
    catalog = make_catalog(["claude-a", "claude-b", "gpt-a", "gpt-b"])
    chosen = choose_default(choose_default(catalog, "gpt-b"), "claude-b")
    assert [one.id for one in chosen] == ["claude-b", "gpt-b", "claude-a", "gpt-a"]


def test_edits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConflictError):
        add_model(TWO, "b", default=True)
    with pytest.raises(NotFoundError):
        choose_default(TWO, "c")
    with pytest.raises(NotFoundError):
        remove_model(TWO, "c")
    with pytest.raises(ConflictError):
        remove_model(make_catalog(["a"]), "a")
    with pytest.raises(BadRequestError):
        add_model(make_catalog([f"m{n}" for n in range(MAX_OFFERED)]), "one", default=False)


def test_the_models_of_a_site_are_a_list_in_its_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CATTERY_MODELS", " gpt-5.5 ,qwen3/coder:30b,")
    assert settings().models == ("gpt-5.5", "qwen3/coder:30b")
    monkeypatch.setenv("CATTERY_MODELS", "")
    assert settings().models == ALWAYS_KNOWN
    monkeypatch.setenv("CATTERY_MODELS", "two words")
    with pytest.raises(ValidationError, match="no white space"):
        settings()
