"""What `cattery up` reads from its own environment, and wrong values said in words."""

from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cattery.secret_files import SettingsWithSecretFiles, read_secret_files
from cattery.settings import HomeSettings
from cli.errors import CommandError
from cli.home import Home, default_tools_folder, default_web_dist

_SCHEMES = ("postgresql://", "postgres://")


class UpSettings(SettingsWithSecretFiles):
    """Where Cattery listens, and which parts it runs by itself."""

    model_config = SettingsConfigDict(
        env_prefix="CATTERY_", frozen=True, extra="ignore", populate_by_name=True
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=1, le=65535)
    workers: int = Field(default=1, ge=0, le=64)
    """How many worker processes to run (`CATTERY_WORKERS`)."""
    database_url: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("DATABASE_URL", "database_url")
    )
    """An external PostgreSQL; without it an embedded one is run."""
    temporal_address: str | None = Field(
        default=None, validation_alias=AliasChoices("TEMPORAL_ADDRESS", "temporal_address")
    )
    """An external Temporal server; without it an embedded one is run."""
    temporal_namespace: str = Field(
        default="default",
        validation_alias=AliasChoices("TEMPORAL_NAMESPACE", "temporal_namespace"),
    )
    temporal_ui_url: str | None = None
    """Address of an external Temporal server's UI, shown to admins."""
    web_dist: Path | None = Field(default_factory=default_web_dist)
    tools: Path | None = Field(default_factory=default_tools_folder)

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(_SCHEMES):
            raise ValueError("it must begin with postgresql:// (user, host and database follow)")
        return value

    @property
    def url(self) -> str:
        """Where a browser on this machine finds Cattery."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


class FirstAdminSettings(SettingsWithSecretFiles):
    """The password of a site's first user, where nobody reads what `cattery migrate` prints."""

    model_config = SettingsConfigDict(
        env_prefix="CATTERY_", frozen=True, extra="ignore", populate_by_name=True
    )

    admin_password: SecretStr | None = Field(default=None, min_length=12)
    """Used once, to make the user admin (`CATTERY_ADMIN_PASSWORD`); then it is not printed."""


def read_settings[S: BaseSettings](build: Callable[[], S]) -> S:
    """Read settings from the environment: `build` is their class.

    Raises:
        CommandError: a variable is missing or wrong; the message names it, never its value.
    """
    try:
        return build()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        shown = name if name.isupper() else f"CATTERY_{name.upper()}"
        reason = first["msg"].removeprefix("Value error, ").removesuffix(".")
        if first["type"] == "missing":
            raise CommandError(f"{shown} is not set. Set it in the environment.") from error
        raise CommandError(f"{shown} has a value that cannot be used: {reason}.") from error


def read_jwt_secret(home: Home, environ: Mapping[str, str]) -> str:
    """Return the secret that signs sign-ins: the site's own, or the one of the data folder."""
    name = "CATTERY_JWT_SECRET"
    return read_secret_files(environ).get(name) or environ.get(name) or home.secret("jwt")


def read_home() -> tuple[Home, HomeSettings]:
    """Return the data folder, absolute, and its settings with the tools folder filled in."""
    settings = read_settings(HomeSettings)
    folder = settings.home.expanduser().absolute()
    tools = settings.tools or default_tools_folder()
    return Home(folder), settings.model_copy(update={"home": folder, "tools": tools})
