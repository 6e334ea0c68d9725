"""How opencode is started: offline, against our gateway, with one credential of its own.

Every switch here stops something that was seen to reach out or to stall in the pinned release.
"""

import base64
import re
from pathlib import PurePosixPath
from typing import Final

import orjson

from cattery.catalog import ModelFamily
from cattery.harnesses.port import Launch, LaunchInput
from cattery.jsontypes import JsonObject

USERNAME: Final = "opencode"
"""The user of opencode's basic authentication."""

_PROVIDER: Final = "cattery"
_OPENAI_OWN: Final = re.compile(r"(gpt|o\d)[-.\d]")
"""OpenAI's own models, which refuse the `max_tokens` that the compatible SDK sends: they are
spoken to over the Responses API. Whatever else is served under an OpenAI-like address is not."""
_LIMITS: Final[dict[ModelFamily, JsonObject]] = {
    ModelFamily.ANTHROPIC: {"context": 200_000, "output": 32_000},
    ModelFamily.OPENAI: {"context": 128_000, "output": 16_384},
}
"""Without limits opencode never compacts a long session, and cuts answers at 4,096 tokens."""


def launch_opencode(given: LaunchInput, *, version: str) -> Launch:
    """Build the command, environment and files that start `opencode serve`."""
    return Launch(
        argv=(
            # Its post-install puts the native binary itself there: no Node is started.
            f"{given.tools}/opencode/node_modules/.bin/opencode",
            "serve",
            "--hostname",
            given.host,
            "--port",
            str(given.port),
        ),
        env=_home(given) | _switches() | _credentials(given) | _contract(given),
        files=_plugin_lock(version),
        links={".agents/skills": given.skills},
    )


def basic_auth(password: str) -> str:
    """Return the `Authorization` header for opencode's own port."""
    return "Basic " + base64.b64encode(f"{USERNAME}:{password}".encode()).decode()


def _home(given: LaunchInput) -> dict[str, str]:
    home = PurePosixPath(given.home)
    return {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_STATE_HOME": str(home / ".local/state"),
        "XDG_CACHE_HOME": str(home / ".cache"),
    }


def _switches() -> dict[str, str]:
    return {
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        # A repository's opencode.json and .opencode bring servers and plugins, which are programs
        # that start unasked. Its AGENTS.md is text and stays: see `instructions`.
        "OPENCODE_DISABLE_PROJECT_CONFIG": "1",
        "OPENCODE_DISABLE_SHARE": "1",
        "OPENCODE_DISABLE_TERMINAL_TITLE": "1",
        # Some clients get no question tool; a person is watching ours.
        "OPENCODE_ENABLE_QUESTION_TOOL": "1",
    }


def _credentials(given: LaunchInput) -> dict[str, str]:
    gateway = given.gateway_url.rstrip("/")
    keys = (
        {
            "ANTHROPIC_BASE_URL": f"{gateway}/anthropic",
            "ANTHROPIC_API_KEY": given.gateway_token,
        }
        if given.family is ModelFamily.ANTHROPIC
        else {
            "OPENAI_BASE_URL": f"{gateway}/openai/v1",
            "OPENAI_API_KEY": given.gateway_token,
        }
    )
    return keys | {
        "OPENCODE_SERVER_PASSWORD": given.password,
        "OPENCODE_SERVER_USERNAME": USERNAME,
        "OPENCODE_CONFIG_CONTENT": orjson.dumps(_configuration(given)).decode(),
    }


def _contract(given: LaunchInput) -> dict[str, str]:
    return {"MODEL": given.model, "PORT": str(given.port)}


def _configuration(given: LaunchInput) -> JsonObject:
    """Build opencode's configuration. It goes into the environment, where it wins over files.

    `snapshot` is off: it commits the whole workspace to a hidden repository around every step,
    for an undo that the platform does not offer.
    """
    gateway = given.gateway_url.rstrip("/")
    base_url = (
        f"{gateway}/anthropic/v1"
        if given.family is ModelFamily.ANTHROPIC
        else f"{gateway}/openai/v1"
    )
    model = f"{_PROVIDER}/{given.model}"
    return {
        "$schema": "https://opencode.ai/config.json",
        "model": model,
        "small_model": model,
        "enabled_providers": [_PROVIDER],
        "provider": {
            _PROVIDER: {
                "npm": _sdk_of(given),
                "name": "Cattery's model gateway",
                "options": {"baseURL": base_url, "apiKey": given.gateway_token},
                "models": {given.model: {"name": given.model, "limit": _LIMITS[given.family]}},
            }
        },
        "instructions": [f"{given.workspace}/{name}" for name in ("AGENTS.md", "CLAUDE.md")],
        "autoupdate": False,
        "share": "disabled",
        "snapshot": False,
    }


def _sdk_of(given: LaunchInput) -> str:
    """Name the SDK for a model. All are bundled in opencode: no package is fetched for them."""
    if given.family is ModelFamily.ANTHROPIC:
        return "@ai-sdk/anthropic"
    return "@ai-sdk/openai" if _OPENAI_OWN.match(given.model) else "@ai-sdk/openai-compatible"


def _plugin_lock(version: str) -> dict[str, str]:
    """Make opencode believe that its plugin package is installed in its configuration folder.

    It installs `@opencode-ai/plugin` from the registry in the background unless `node_modules` is
    there and the lock file names the package. No switch turns that off. Only a person's own
    plugins in TypeScript need the package.
    """
    wanted: JsonObject = {"dependencies": {"@opencode-ai/plugin": version}}
    lock: JsonObject = {"lockfileVersion": 3, "requires": True, "packages": {"": wanted}}
    folder = ".config/opencode"
    return {
        f"{folder}/package.json": orjson.dumps(wanted).decode(),
        f"{folder}/package-lock.json": orjson.dumps(lock).decode(),
        f"{folder}/node_modules/.package-lock.json": orjson.dumps(lock).decode(),
    }
