"""A site that has been used for long: users, projects, harnesses, sessions and a large event log.

The rows go straight into the tables with COPY. A session is one of a few shapes, from a tenth of
the mean to twice it, under ids of its own; its turns are mostly pieces of text, as real ones are.
Nothing was folded yet (`cattery.db.folding`): pages are as large as they can be.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson
import psycopg

from cattery.jsontypes import JsonObject

SHAPES = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.6, 2.0, 2.1)
"""Events of a session, as shares of the mean; they are equally many."""
TURN_EVENTS = 64
USERS, MEMBERS, HARNESSES_OF_A_PROJECT, SESSIONS_OF_A_HARNESS = 20, 2, 2, 50
_SID, _HEAD = b"@sid@", b"@head@"
_SENTENCE = (
    "the session keeps its events in order so that every watcher sees each of them once and "
    "nothing is lost when a process ends before its time, whatever it was that it did just then"
)

_USERS_SQL = """
INSERT INTO app_user (id, username, password_hash)
SELECT gen_random_uuid(), 'user' || n, '!' FROM generate_series(1, %(users)s) n
"""
_PROJECTS_SQL = """
INSERT INTO project (id, owner_user_id, name, created_at)
SELECT gen_random_uuid(), u.id, 'Project ' || n, now() - n * interval '1 hour'
FROM generate_series(1, %(projects)s) n
JOIN app_user u ON u.username = 'user' || (1 + n %% %(users)s)
"""
_MEMBERS_SQL = """
INSERT INTO project_member (project_id, user_id)
SELECT p.id, u.id FROM project p CROSS JOIN LATERAL (
    SELECT id FROM app_user WHERE id <> p.owner_user_id
    ORDER BY md5(id::text || p.id::text) LIMIT %(members)s) u
"""
_HARNESSES_SQL = """
INSERT INTO harness (id, project_id, name, type, model, env_vars, created_at)
SELECT gen_random_uuid(), p.id, 'Cat ' || n, 'opencode', 'gpt-5.5', '{}',
    now() - n * interval '1 minute'
FROM project p CROSS JOIN generate_series(1, %(harnesses)s) n
"""
_SESSIONS_SQL = """
INSERT INTO session (id, harness_id, created_by, status, title, created_at)
SELECT gen_random_uuid(), h.id, h.owner_user_id, 'ready', 'Conversation ' || n,
    now() - n * interval '10 minutes'
FROM generate_series(1, %(sessions)s) n
JOIN (SELECT h.id, p.owner_user_id, row_number() OVER (ORDER BY h.id) AS place
      FROM harness h JOIN project p ON p.id = h.project_id) h
    ON h.place - 1 = n %% (SELECT count(*) FROM harness)
"""
_STREAMS_SQL = """
INSERT INTO session_stream (session_id, last_seq, last_turn_no, turn_no)
SELECT session_id, max(seq), max(turn_no), max(turn_no) FROM session_event GROUP BY session_id
"""
_EVENT_COLUMNS = "session_id, seq, turn_no, type, data, dedupe_key"
_PROMPT_COLUMNS = "id, session_id, turn_no, body, status, accepted_seq"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a session holds: its rows of both tables, in COPY's text form, without its id."""

    events: bytes
    prompts: bytes
    last_seq: int
    turns: int


@dataclass(frozen=True, slots=True)
class FilledSession:
    """A session, and what its history must hold."""

    session_id: UUID
    last_seq: int
    turns: int


def fill(url: str, *, sessions: int, events: int) -> Sequence[FilledSession]:
    """Fill a migrated database; return the sessions.

    Args:
        sessions: how many, over harnesses of fifty each.
        events: in all, about.
    """
    harnesses = max(HARNESSES_OF_A_PROJECT, sessions // SESSIONS_OF_A_HARNESS)
    values = {
        "users": USERS,
        "members": MEMBERS,
        "projects": max(1, harnesses // HARNESSES_OF_A_PROJECT),
        "harnesses": HARNESSES_OF_A_PROJECT,
        "sessions": sessions,
    }
    shapes = [make_shape(max(TURN_EVENTS, round(share * events / sessions))) for share in SHAPES]
    with psycopg.connect(url) as connection:
        for statement in (_USERS_SQL, _PROJECTS_SQL, _MEMBERS_SQL, _HARNESSES_SQL, _SESSIONS_SQL):
            connection.execute(statement, values)
        ids = [row[0] for row in connection.execute("SELECT id FROM session ORDER BY id")]
        chosen = [(each, shapes[place % len(shapes)]) for place, each in enumerate(ids)]
        with connection.cursor() as cursor:
            with cursor.copy(f"COPY session_event ({_EVENT_COLUMNS}) FROM STDIN") as copy:
                for session_id, shape in chosen:
                    copy.write(_name(shape.events, session_id))
            with cursor.copy(f"COPY prompt ({_PROMPT_COLUMNS}) FROM STDIN") as copy:
                for session_id, shape in chosen:
                    copy.write(_name(shape.prompts, session_id))
        connection.execute(_STREAMS_SQL)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
    return [FilledSession(each, shape.last_seq, shape.turns) for each, shape in chosen]


def make_shape(events: int) -> Shape:
    """Make a session of about so many events, whole turns; the same every time."""
    chance = random.Random(events)
    lines: list[bytes] = []
    prompts: list[bytes] = []
    turn_no = 0
    while len(lines) < events:
        turn_no += 1
        prompts.append(
            b"%b%012x\t%b\t%d\tHello\tdone\t%d\n" % (_HEAD, turn_no, _SID, turn_no, len(lines) + 1)
        )
        for kind, data, key in _turn(turn_no, chance):
            lines.append(_line(len(lines) + 1, turn_no, kind, data, key))
    return Shape(b"".join(lines), b"".join(prompts), len(lines), turn_no)


def _turn(turn_no: int, chance: random.Random) -> Iterator[tuple[str, JsonObject, str | None]]:
    prompt = f"{_HEAD.decode()}{turn_no:012x}"
    said: JsonObject = {
        "turnId": prompt,
        "messageId": f"usr_{prompt}",
        "text": _say(chance, 20),
        "username": "user1",
    }
    yield "prompt.accepted", said, f"prompt:{prompt}"
    yield "turn.started", {"turnId": prompt}, f"started:{turn_no}"
    for number in range(8):
        part: JsonObject = {"partId": f"prt_{turn_no}_0", "text": _say(chance, 4)}
        yield "message.thinking", part | {"offset": number * 24}, None
    for number in range(3):
        tool = f"call_{turn_no}_{number}"
        given = orjson.dumps({"command": f'grep -rn "{_say(chance, 2)}" src'}).decode()
        start: JsonObject = {"toolId": tool, "tool": "bash", "input": given}
        yield "tool.start", start, None
        output: JsonObject = {"toolId": tool, "tool": "bash", "output": _say(chance, 120)}
        yield "tool.done", output | {"ok": True}, f"tool:{tool}"
    for number in range(TURN_EVENTS - 18):
        piece: JsonObject = {"partId": f"prt_{turn_no}_1", "text": _say(chance, 4)}
        yield "message.delta", piece | {"offset": number * 24}, None
    yield "usage.updated", {"inputTokens": turn_no, "outputTokens": 900, "cost": None}, None
    yield "session.idle", {}, f"idle:{turn_no}"


def _say(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(_SENTENCE.split(), k=words))


def _line(seq: int, turn_no: int, kind: str, data: JsonObject, key: str | None) -> bytes:
    escaped = orjson.dumps(data).replace(b"\\", b"\\\\")
    given = key.encode() if key else b"\\N"
    return b"%b\t%d\t%d\t%b\t%b\t%b\n" % (_SID, seq, turn_no, kind.encode(), escaped, given)


def _name(rows: bytes, session_id: UUID) -> bytes:
    """Put a session's id into its rows; the ids of its prompts begin as its own does."""
    written = str(session_id).encode()
    return rows.replace(_SID, written).replace(_HEAD, written[:24])
