"""Launches made of a manifest's templates, and what every launch tells a program of the gateway."""

from collections.abc import Mapping

from cattery.catalog import ModelFamily
from cattery.harnesses.manifest import FamilyLaunch, LaunchTemplates, Manifest
from cattery.harnesses.port import Launch, LaunchInput
from cattery.harnesses.templates import fill_template


def anthropic_url(given: LaunchInput) -> str:
    """Return the base address of the Anthropic API at the gateway, which is without `/v1`."""
    return f"{given.gateway_url.rstrip('/')}/anthropic"


def openai_url(given: LaunchInput) -> str:
    """Return the base address of the OpenAI API at the gateway, which ends in `/v1`."""
    return f"{given.gateway_url.rstrip('/')}/openai/v1"


def gateway_environment(given: LaunchInput) -> dict[str, str]:
    """Name the model API and its credential the way the contract does, for the model's family."""
    if given.family is ModelFamily.ANTHROPIC:
        return {
            "ANTHROPIC_BASE_URL": anthropic_url(given),
            "ANTHROPIC_API_KEY": given.gateway_token,
        }
    return {"OPENAI_BASE_URL": openai_url(given), "OPENAI_API_KEY": given.gateway_token}


def build_launch(manifest: Manifest, templates: LaunchTemplates, given: LaunchInput) -> Launch:
    """Fill a manifest's templates. Pure.

    The contract's settings and the gateway come first in the environment, so that a template wins.
    """
    values = _values(manifest, given)

    def fill(templates: Mapping[str, str]) -> dict[str, str]:
        return {name: fill_template(text, values) for name, text in templates.items()}

    family: FamilyLaunch = getattr(templates, given.family.value)
    links = fill(templates.links)
    if manifest.skills.startswith("~/"):
        links.setdefault(manifest.skills.removeprefix("~/"), given.skills)
    return Launch(
        argv=tuple(fill_template(word, values) for word in (*templates.argv, *family.argv)),
        env={
            "HOME": given.home,
            "MODEL": given.model,
            "PORT": str(given.port),
            **gateway_environment(given),
            **fill(templates.env),
            **fill(family.env),
        },
        files=fill(templates.files) | fill(family.files),
        links=links,
    )


def _values(manifest: Manifest, given: LaunchInput) -> dict[str, str]:
    return {
        "anthropic_url": anthropic_url(given),
        "family": given.family.value,
        "gateway_token": given.gateway_token,
        "gateway_url": given.gateway_url.rstrip("/"),
        "home": given.home,
        "host": given.host,
        "model": given.model,
        "openai_url": openai_url(given),
        "password": given.password,
        "port": str(given.port),
        "skills": given.skills,
        "tools": given.tools,
        "version": manifest.version,
        "workspace": given.workspace,
    }
