"""Settings, one frozen class per concern, read from the environment once in `main`.

Names begin with `CATTERY_`, beside the handful that everybody knows (`DATABASE_URL`,
`TEMPORAL_ADDRESS`, `ANTHROPIC_API_KEY`, …). Nothing here is read at import.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from cattery.catalog import ALWAYS_KNOWN, clean_model_id
from cattery.deletion_states import DeletionKind
from cattery.errors import BadRequestError
from cattery.logs import LogFormat
from cattery.secret_files import SettingsWithSecretFiles

LOOPBACK = "127.0.0.1"
ANTHROPIC_API = "https://api.anthropic.com"
OPENAI_API = "https://api.openai.com/v1"


def default_home() -> Path:
    """Return `$XDG_DATA_HOME/cattery`, or `~/.local/share/cattery` without that variable."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "cattery"


def default_harnesses() -> Path:
    """Return the clone's folder of harness manifests; an image says where its own are."""
    return Path(__file__).resolve().parent.parent / "harness_images"


class _Settings(SettingsWithSecretFiles):
    model_config = SettingsConfigDict(
        env_prefix="CATTERY_", frozen=True, extra="ignore", populate_by_name=True
    )


class HomeSettings(_Settings):
    """Where a single-machine installation keeps its data."""

    home: Path = Field(default_factory=default_home)
    """Data folder (`CATTERY_HOME`), mode 0700."""
    tools: Path | None = None
    """Folder with the installed harness binaries (`CATTERY_TOOLS`); default `<home>/tools`."""
    log_format: LogFormat = "auto"
    log_level: str = "INFO"

    @property
    def tools_folder(self) -> Path:
        """The folder that harnesses are installed in."""
        return self.tools or self.home / "tools"


class HarnessSettings(_Settings):
    """Which kinds of harness there are, and which of them this site offers."""

    folder: Path = Field(
        default_factory=default_harnesses,
        validation_alias=AliasChoices("CATTERY_HARNESSES", "folder"),
    )
    """Folder of their manifests, `<type>/harness.toml` (`CATTERY_HARNESSES`); the clone's own."""
    types: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        default=None, validation_alias=AliasChoices("CATTERY_HARNESS_TYPES", "types")
    )
    """Types to install and to offer (`CATTERY_HARNESS_TYPES`), comma-separated; all if unset."""

    @field_validator("types", mode="before")
    @classmethod
    def _split_types(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(filter(None, (name.strip() for name in value.split(",")))) or None


class DatabaseSettings(_Settings):
    """The PostgreSQL that holds rows and the event log."""

    url: SecretStr = Field(
        validation_alias=AliasChoices("DATABASE_URL", "url"),
        description="libpq URL, `postgresql://…`. A secret where it carries a password.",
    )
    pool_size: int = Field(
        default=10, validation_alias=AliasChoices("CATTERY_DB_POOL", "pool_size")
    )


class TemporalSettings(_Settings):
    """The Temporal server that runs the workflows."""

    address: str = Field(
        default="127.0.0.1:7233", validation_alias=AliasChoices("TEMPORAL_ADDRESS", "address")
    )
    namespace: str = Field(
        default="default", validation_alias=AliasChoices("TEMPORAL_NAMESPACE", "namespace")
    )


class ApiSettings(_Settings):
    """The HTTP process."""

    host: str = "127.0.0.1"
    port: int = 8080
    jwt_secret: SecretStr
    """At least 32 bytes; `cattery up` makes and keeps one."""
    token_lifetime: timedelta = timedelta(days=7)
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ("*",)
    """Origins that another UI may come from, comma-separated; `*` is any."""
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    """Addresses or networks whose `X-Forwarded-For` counts, comma-separated."""
    login_burst: int = 5
    """Sign-in attempts an address has at once."""
    login_per_minute: int = 5
    """Sign-in attempts that an address gets back a minute."""
    max_upload_bytes: int = 256 * 1024 * 1024
    max_body_bytes: int = 1024 * 1024
    """Limit of every other request body."""
    web_dist: Path | None = None
    """Folder with the built web UI; without it only the API is served."""
    models: Annotated[tuple[str, ...], NoDecode] = ALWAYS_KNOWN
    """Models that the UI offers, in this order, until an admin edits them (`CATTERY_MODELS`)."""
    default_model: str | None = None
    """The one that it offers first; the first of `models` if unset."""
    temporal_ui_url: str | None = None
    """Shown to admins in the UI."""
    deletion_grace: timedelta | None = None
    """In which deletions of any kind can be undone, where nothing more is said of a kind."""
    deletion_grace_harness: timedelta | None = None
    """Nothing, if neither this nor `deletion_grace` is set."""
    deletion_grace_project: timedelta | None = None
    """A day, if neither this nor `deletion_grace` is set."""
    deletion_grace_user: timedelta | None = None
    """As for projects."""

    def grace_of(self, kind: DeletionKind) -> timedelta:
        """Return how long the deletion of something can be undone."""
        special, default = {
            DeletionKind.HARNESS: (self.deletion_grace_harness, timedelta(0)),
            DeletionKind.PROJECT: (self.deletion_grace_project, timedelta(days=1)),
            DeletionKind.USER: (self.deletion_grace_user, timedelta(days=1)),
        }[kind]
        return next(one for one in (special, self.deletion_grace, default) if one is not None)

    @field_validator("allowed_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @field_validator("models", mode="before")
    @classmethod
    def _check_models(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return tuple(map(clean_model_id, filter(str.strip, value.split(",")))) or ALWAYS_KNOWN
        except BadRequestError as error:
            raise ValueError(error.message) from error

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value().encode()) < 32:
            msg = "CATTERY_JWT_SECRET must have at least 32 bytes; make one: openssl rand -hex 32"
            raise ValueError(msg)
        return value


class SandboxSettings(_Settings):
    """Where and how harnesses run."""

    runtime: Literal["local", "kubernetes"] = "local"
    gateway_url: str = "http://127.0.0.1:8081"
    """The model gateway's address as sandboxes see it (`CATTERY_GATEWAY_URL`)."""
    local_host: str = LOOPBACK
    """Where this site's other processes reach the sandboxes of a `local` runtime. Another name than
    loopback's says that these run in a container of that name, and listen on all its addresses."""
    start_timeout: timedelta = timedelta(seconds=60)
    idle_timeout: timedelta = timedelta(minutes=30)
    """A sandbox that nobody used for so long is suspended, unless its harness says otherwise
    (`CATTERY_IDLE_TIMEOUT`); 0 is never."""
    cpu_seconds: int | None = None
    """CPU time that one sandboxed process may use in all; `None` is no limit."""
    memory_bytes: int = 4 * 1024**3
    """Resident memory of one sandbox, all its processes; over it, it is ended with the reason."""
    max_processes: int = 512
    allow_unconfined: bool = True
    """Whether sandboxes may run without bubblewrap (said by `doctor` and the UI)."""

    @property
    def listen_host(self) -> str:
        """The address that harnesses of a `local` runtime listen on."""
        return "0.0.0.0" if self.is_elsewhere else LOOPBACK  # noqa: S104 - a container's own

    @property
    def is_elsewhere(self) -> bool:
        """Whether only workers are where the sandboxes of a `local` runtime are."""
        return self.local_host != LOOPBACK


class KubernetesSettings(_Settings):
    """Sandboxes on a cluster (`CATTERY_RUNTIME=kubernetes`); names begin with `CATTERY_K8S_`.

    The cluster is the one that the process runs in, or else the one of `KUBECONFIG`.
    """

    model_config = SettingsConfigDict(
        env_prefix="CATTERY_K8S_", frozen=True, extra="ignore", populate_by_name=True
    )

    namespace: str = Field(
        default="cattery-sandboxes",
        validation_alias=AliasChoices("K8S_NAMESPACE", "CATTERY_K8S_NAMESPACE", "namespace"),
    )
    """Where sandboxes, volumes and secrets are made (`K8S_NAMESPACE`)."""
    image_registry: str = ""
    """What stands before image names, such as `registry.example.com/cattery/`."""
    image_tag: str = "dev"
    """Tag of every image of ours; with `@sha256:…` names the digest instead."""
    image_pull_secret: str | None = None
    """Secret in the namespace with the registry's credentials."""
    runtime_class: str | None = None
    """RuntimeClass of sandboxes, such as `gvisor` or `kata`; without it the cluster's default."""
    user_namespaces: bool = False
    """Run sandboxes in user namespaces of their own (`hostUsers: false`); nodes must support it."""
    storage_class: str | None = None
    """StorageClass of all claims; without it the cluster's default."""
    workspace_size: str = "10Gi"
    workspace_access: Literal["ReadWriteOnce", "ReadWriteMany"] = "ReadWriteOnce"
    """With ReadWriteOnce all pods of a project run on the same node."""
    skills_size: str = "1Gi"
    skills_access: Literal["ReadWriteOnce", "ReadWriteMany"] = "ReadWriteOnce"
    """With ReadWriteOnce all sandboxes run on the same node: set ReadWriteMany on larger ones."""
    cpu_request: str = "250m"
    cpu_limit: str = "2"
    memory_request: str = "512Mi"
    """The limit is `CATTERY_MEMORY_BYTES`, as everywhere."""
    disk_request: str = "1Gi"
    disk_limit: str = "4Gi"
    """Ephemeral storage: what is written outside the workspace and HOME."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels of the nodes for sandboxes, as JSON."""
    tolerations: list[dict[str, str]] = Field(default_factory=list)
    """Tolerations of sandboxes, as a JSON list of Kubernetes' own objects."""
    start_timeout: timedelta = timedelta(minutes=4)
    """For a sandbox to answer, from its creation; image pull and volume included."""
    file_manager_idle: timedelta = timedelta(minutes=10)
    """A file manager that nobody used for so long is stopped."""
    lease: timedelta = timedelta(hours=2)
    """A running sandbox that no worker has looked after for so long is ended by the cluster, so
    that a dead control plane stops spending; the next prompt wakes it. 0 is never."""
    allow_unenforced_network: bool = False
    """Start sandboxes even where the cluster does not enforce network policies."""


class GatewaySettings(_Settings):
    """The model gateway: the only process that holds model keys."""

    gateway_host: str = "127.0.0.1"
    gateway_port: int = 8081
    anthropic_base_url: str = Field(
        default=ANTHROPIC_API,
        validation_alias=AliasChoices("ANTHROPIC_BASE_URL", "anthropic_base_url"),
    )
    anthropic_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("ANTHROPIC_API_KEY", "anthropic_api_key")
    )
    openai_base_url: str = Field(
        default=OPENAI_API,
        validation_alias=AliasChoices("OPENAI_BASE_URL", "openai_base_url"),
    )
    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("OPENAI_API_KEY", "openai_api_key")
    )
    upstream_idle_timeout: timedelta = timedelta(seconds=90)
    """A model that sends nothing for this long is given up, with an error in its API's shape."""
    max_request_bytes: int = 32 * 1024 * 1024

    @property
    def is_demo(self) -> bool:
        """Whether no real model is configured at all, so that the demo model answers."""
        return not (self.anthropic_api_key or self.openai_api_key or self._custom_base)

    @property
    def _custom_base(self) -> bool:
        return (self.anthropic_base_url, self.openai_base_url) != (ANTHROPIC_API, OPENAI_API)
