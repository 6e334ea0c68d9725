"""Every table, as SQLAlchemy models. `cattery.db.migrations` makes them; a test proves it does.

Rows of the event log carry no foreign keys: they are written at rates where a check per row
costs, and they go with their session in one statement when the session is purged.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from cattery.db.states import (
    HarnessStatus,
    PromptStatus,
    SessionPhase,
    SessionStatus,
    stored,
)
from cattery.deletion_states import DeletionKind, DeletionPhase
from cattery.jsontypes import Json, JsonObject

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Names every constraint and stores each Python type one way."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy declares it so
        datetime: DateTime(timezone=True),
        str: Text,
        JsonObject: JSONB,
        list[Json]: JSONB,
        HarnessStatus: stored(HarnessStatus),
        SessionStatus: stored(SessionStatus),
        SessionPhase: stored(SessionPhase),
        PromptStatus: stored(PromptStatus),
        DeletionKind: stored(DeletionKind),
        DeletionPhase: stored(DeletionPhase),
    }


def _marks(table: str) -> Index:
    """Return the index by which the rows that a deletion marked are found."""
    return Index(
        f"ix_{table}_deletion_id",
        "deletion_id",
        postgresql_where=text("deletion_id IS NOT NULL"),
    )


class DeletionRow(Base):
    """A deletion that somebody asked for: kept for ever, as the record of who deleted what.

    No foreign keys: it outlives all that it names, and so it keeps their names. `hitches` has the
    steps that keep failing, by the id of the workflow whose step it is; `forced` has those that an
    operator had skipped, with the reason. The rows that it marked carry its id, so that to undo it
    unmarks exactly those.
    """

    __tablename__ = "deletion"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[DeletionKind]
    object_id: Mapped[UUID] = mapped_column(index=True)
    label: Mapped[str]
    project_id: Mapped[UUID | None]
    owner_user_id: Mapped[UUID | None]
    requested_by: Mapped[UUID | None]
    requested_by_label: Mapped[str]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    due_at: Mapped[datetime]
    phase: Mapped[DeletionPhase] = mapped_column(server_default=DeletionPhase.GRACE.value)
    step: Mapped[str | None]
    hitches: Mapped[JsonObject] = mapped_column(server_default=text("'{}'::jsonb"))
    forced: Mapped[list[Json]] = mapped_column(server_default=text("'[]'::jsonb"))
    heir_user_id: Mapped[UUID | None]
    heir_label: Mapped[str | None]
    committed_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    ended_by_label: Mapped[str | None]

    __table_args__ = (
        Index("ix_deletion_open", "due_at", postgresql_where=text("ended_at IS NULL")),
    )


class UserRow(Base):
    """A person who can sign in. A user who is being deleted keeps the row until the end."""

    __tablename__ = "app_user"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    username: Mapped[str]
    password_hash: Mapped[str]
    is_admin: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_login_at: Mapped[datetime | None]
    deleting_at: Mapped[datetime | None]
    deletion_id: Mapped[UUID | None]

    __table_args__ = (
        Index(
            "uq_app_user_username",
            "username",
            unique=True,
            postgresql_where=text("deleting_at IS NULL"),
        ),
        _marks("app_user"),
    )


class AuthSessionRow(Base):
    """One sign-in. Every token names its row, so that ending the row ends the token."""

    __tablename__ = "auth_session"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("app_user.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class RateLimitRow(Base):
    """The state of one bucket of the generic cell rate algorithm: its theoretical arrival time."""

    __tablename__ = "rate_limit"

    key: Mapped[str] = mapped_column(primary_key=True)
    arrival_at: Mapped[datetime]


class ProjectRow(Base):
    """A project; its workspace carries its id."""

    __tablename__ = "project"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_user_id: Mapped[UUID] = mapped_column(ForeignKey("app_user.id"), index=True)
    name: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleting_at: Mapped[datetime | None]
    deletion_id: Mapped[UUID | None]

    __table_args__ = (_marks("project"),)


class ProjectMemberRow(Base):
    """A user who shares a project that another owns."""

    __tablename__ = "project_member"

    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("app_user.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (PrimaryKeyConstraint("project_id", "user_id"),)


class HarnessRow(Base):
    """A harness and the sandbox that it has now.

    `generation` counts the starts; an activity writes the sandbox columns only where its own
    generation is not older. `endpoint_password` guards the harness's own port; it is chosen when a
    generation begins, before anything is made, so that every try knows it.

    `waiting` says what the sandbox waits for that is no failure; `runtime_events` is what the
    runtime said of its last start, `recoveries` when and why it was healed lately.

    `used_at` is when it was last used by what has no row of its own any more; `suspended_at` stands
    while it sleeps, `stopped_reason` until it answers again.
    """

    __tablename__ = "harness"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("project.id"), index=True)
    name: Mapped[str | None]
    type: Mapped[str]
    model: Mapped[str]
    env_vars: Mapped[JsonObject]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleting_at: Mapped[datetime | None]
    deletion_id: Mapped[UUID | None]
    generation: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    status: Mapped[HarnessStatus] = mapped_column(server_default=HarnessStatus.IDLE.value)
    task_name: Mapped[str | None]
    endpoint_url: Mapped[str | None]
    endpoint_password: Mapped[str | None]
    failure: Mapped[str | None]
    waiting: Mapped[str | None]
    steps: Mapped[list[Json]] = mapped_column(server_default=text("'[]'::jsonb"))
    runtime_events: Mapped[list[Json]] = mapped_column(server_default=text("'[]'::jsonb"))
    recoveries: Mapped[list[Json]] = mapped_column(server_default=text("'[]'::jsonb"))
    idle_timeout_seconds: Mapped[int | None]
    used_at: Mapped[datetime] = mapped_column(server_default=func.now())
    suspended_at: Mapped[datetime | None]
    stopped_reason: Mapped[str | None]
    suspended_seconds: Mapped[float] = mapped_column(Double, server_default=text("0"))

    __table_args__ = (
        Index(
            "ix_harness_ready",
            "id",
            postgresql_where=text("status = 'ready' AND deleting_at IS NULL"),
        ),
        _marks("harness"),
    )


class SandboxLeaseRow(Base):
    """Something that keeps a sandbox awake: an attached terminal, or a person's word."""

    __tablename__ = "sandbox_lease"

    harness_id: Mapped[UUID] = mapped_column(ForeignKey("harness.id", ondelete="CASCADE"))
    holder: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(index=True)

    __table_args__ = (PrimaryKeyConstraint("harness_id", "holder"),)


class HarnessEventRow(Base):
    """Something that happened to a harness, and who did it. Outlives the user whom it names."""

    __tablename__ = "harness_event"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    harness_id: Mapped[UUID] = mapped_column(ForeignKey("harness.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    kind: Mapped[str]
    by_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("app_user.id", ondelete="SET NULL"), index=True
    )
    by_username: Mapped[str | None]
    detail: Mapped[str | None]

    __table_args__ = (Index("ix_harness_event_harness_id_id", "harness_id", "id"),)


class HarnessLogRow(Base):
    """The last lines of a harness's log, as a worker read them for somebody who asked."""

    __tablename__ = "harness_log"

    harness_id: Mapped[UUID] = mapped_column(
        ForeignKey("harness.id", ondelete="CASCADE"), primary_key=True
    )
    captured_at: Mapped[datetime]
    log: Mapped[str]


class FileManagerRow(Base):
    """What serves the files of one volume on a cluster, and where.

    `id` is the project's, or the nil UUID for the skills library. No foreign key: it goes with its
    pod, which may outlive the project's row by a moment. `token` is worth nothing outside the
    cluster's network; `used_at` tells when it can be stopped.
    """

    __tablename__ = "file_manager"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    generation: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    status: Mapped[HarnessStatus] = mapped_column(server_default=HarnessStatus.IDLE.value)
    base_url: Mapped[str | None]
    token: Mapped[str | None]
    failure: Mapped[str | None]
    waiting: Mapped[str | None]
    used_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SiteFactRow(Base):
    """A fact that one process found out for all of them, such as what the network enforces."""

    __tablename__ = "site_fact"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[JsonObject]
    found_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WorkerBeatRow(Base):
    """A worker process that lives, by its count going up; see `cattery.db.worker_beats`."""

    __tablename__ = "worker_beat"

    worker: Mapped[str] = mapped_column(primary_key=True)
    beats: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = ({"postgresql_with": {"fillfactor": 50}},)


class SandboxTokenRow(Base):
    """The model credential of one sandbox generation, as a SHA-256 of it."""

    __tablename__ = "sandbox_token"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    harness_id: Mapped[UUID] = mapped_column(
        ForeignKey("harness.id", ondelete="CASCADE"), index=True
    )
    generation: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    revoked_at: Mapped[datetime | None]


class SessionRow(Base):
    """A conversation with a harness."""

    __tablename__ = "session"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    harness_id: Mapped[UUID] = mapped_column(ForeignKey("harness.id"), index=True)
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("app_user.id", ondelete="SET NULL"))
    status: Mapped[SessionStatus]
    phase: Mapped[SessionPhase | None]
    failure: Mapped[str | None]
    title: Mapped[str | None]
    theme: Mapped[str] = mapped_column(server_default="dark")
    harness_session_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_seen_at: Mapped[datetime | None]
    stopped_at: Mapped[datetime | None]
    deleting_at: Mapped[datetime | None]
    deletion_id: Mapped[UUID | None]

    __table_args__ = (_marks("session"),)


class PromptRow(Base):
    """A prompt and its turn. `turn_no` is 1, 2, 3, … in the session, in the order of acceptance.

    `harness_message_id` is chosen when the turn first runs and kept: whoever runs the turn again
    looks for that message in the harness before it posts.
    """

    __tablename__ = "prompt"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("session.id", ondelete="CASCADE"))
    turn_no: Mapped[int]
    idempotency_key: Mapped[str | None]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("app_user.id", ondelete="SET NULL"))
    body: Mapped[str]
    status: Mapped[PromptStatus] = mapped_column(server_default=PromptStatus.QUEUED.value)
    accepted_seq: Mapped[int] = mapped_column(BigInteger)
    harness_message_id: Mapped[str | None]
    stop_requested_by: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    signalled_at: Mapped[datetime | None]
    folded: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether the pieces of what the turn said were put together; see `cattery.db.folding`."""

    __table_args__ = (
        UniqueConstraint("session_id", "turn_no"),
        UniqueConstraint("session_id", "idempotency_key"),
        Index("ix_prompt_open", "session_id", "turn_no", postgresql_where=text("status <> 'done'")),
        Index(
            "ix_prompt_to_fold",
            "created_at",
            postgresql_where=text("status = 'done' AND NOT folded"),
        ),
    )


class OfferedModelRow(Base):
    """A model that an admin lets the site offer; without any row the settings say which."""

    __tablename__ = "offered_model"

    id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    is_default: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))

    __table_args__ = (
        Index(
            "uq_offered_model_is_default",
            "is_default",
            unique=True,
            postgresql_where=text("is_default"),
        ),
    )


class AnswerRow(Base):
    """An answer on its way to the harness: workflows carry its id, not its words."""

    __tablename__ = "answer"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(
        ForeignKey("session.id", ondelete="CASCADE"), index=True
    )
    question_id: Mapped[str]
    answers: Mapped[list[Json]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SessionStreamRow(Base):
    """The allocator of a session's numbers and the fence of its writers.

    Only the attempt whose `(turn_no, attempt_at)` stands here may write events of a turn.
    `last_batch` names the last batch that was applied, so that a batch whose commit was answered by
    a broken connection is not applied twice.
    """

    __tablename__ = "session_stream"

    session_id: Mapped[UUID] = mapped_column(primary_key=True)
    last_seq: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    floor_seq: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    last_turn_no: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    turn_no: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    attempt_at: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    last_batch: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    owner: Mapped[str | None]

    __table_args__ = ({"postgresql_with": {"fillfactor": 50}},)


class SessionEventRow(Base):
    """One event of a session's log."""

    __tablename__ = "session_event"

    session_id: Mapped[UUID]
    seq: Mapped[int] = mapped_column(BigInteger)
    turn_no: Mapped[int]
    type: Mapped[str]
    data: Mapped[JsonObject]
    dedupe_key: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        PrimaryKeyConstraint("session_id", "seq"),
        Index(
            "uq_session_event_dedupe_key",
            "session_id",
            "dedupe_key",
            unique=True,
            postgresql_where=text("dedupe_key IS NOT NULL"),
        ),
        Index("ix_session_event_session_id_turn_no", "session_id", "turn_no"),
    )


class EventBlobRow(Base):
    """What is too large for an event: its whole data, once a session, by the digest of it."""

    __tablename__ = "event_blob"

    session_id: Mapped[UUID]
    digest: Mapped[str]
    data: Mapped[JsonObject]

    __table_args__ = (PrimaryKeyConstraint("session_id", "digest"),)
