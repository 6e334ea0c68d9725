"""Each part's environment, built by allow-list: no variable reaches a part that has no use for it.

Model keys go to the gateway alone. The API, the workers and, through them, the sandboxes never
hold one, whatever the environment of `cattery up` is.
"""

from collections.abc import Iterable, Mapping

from pydantic import AliasChoices
from pydantic_settings import BaseSettings

from cattery.settings import (
    ApiSettings,
    DatabaseSettings,
    GatewaySettings,
    HarnessSettings,
    HomeSettings,
    KubernetesSettings,
    SandboxSettings,
    TemporalSettings,
)

_SYSTEM = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "XDG_DATA_HOME"),
    *("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LC_TIME"),
)
_OUTGOING = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
_KEY_FILES = ("ANTHROPIC_API_KEY_FILE", "OPENAI_API_KEY_FILE")
_CLUSTER = ("KUBECONFIG",)
_WORKER_TUNING = "CATTERY_WORKER_"


def server_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what PostgreSQL and Temporal get: nothing of ours."""
    return _pick(environ, _SYSTEM)


def api_environment(environ: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return the HTTP process's environment; `own` wins over the user's."""
    classes = (ApiSettings, DatabaseSettings, TemporalSettings, HomeSettings, SandboxSettings)
    return _pick(environ, _SYSTEM, names_of(*classes, HarnessSettings)) | dict(own)


def worker_environment(environ: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return a worker's environment; `own` wins over the user's."""
    classes = (DatabaseSettings, TemporalSettings, HomeSettings, SandboxSettings)
    names = names_of(*classes, HarnessSettings, KubernetesSettings)
    tuning = [name for name in environ if name.startswith(_WORKER_TUNING)]
    return _pick(environ, _SYSTEM, _CLUSTER, names, tuning) | dict(own)


def gateway_environment(environ: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return the model gateway's environment, the only one with model keys in it."""
    classes = (GatewaySettings, DatabaseSettings, HomeSettings)
    return _pick(environ, _SYSTEM, _OUTGOING, _KEY_FILES, names_of(*classes)) | dict(own)


def names_of(*classes: type[BaseSettings]) -> frozenset[str]:
    """Return the names of the environment variables that settings classes read."""
    names: set[str] = set()
    for cls in classes:
        prefix = cls.model_config.get("env_prefix", "")
        for field, info in cls.model_fields.items():
            if isinstance(info.validation_alias, AliasChoices):
                choices = [c for c in info.validation_alias.choices if isinstance(c, str)]
                names.update(choice for choice in choices if choice.isupper())
            else:
                names.add(f"{prefix}{field}".upper())
    return frozenset(names)


def _pick(environ: Mapping[str, str], *allowed: Iterable[str]) -> dict[str, str]:
    return {name: environ[name] for names in allowed for name in names if name in environ}
