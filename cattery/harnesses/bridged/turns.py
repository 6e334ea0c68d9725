"""Which frames of a bridge, on its stream and in its history, are one turn.

`bridges/contract` writes the same frames for every agent: it runs one turn at a time and writes the
turn's prompt on each frame. A turn begins with `turn.taken`, and only `turn.ended` ends it. The
history has the frames of the stream without the pieces of text, so a translator reads both alike.
"""

from collections.abc import Sequence
from typing import Final

from cattery.harnesses.frames import text_of
from cattery.harnesses.port import HarnessFrame, HarnessHistory
from cattery.ids import HarnessSessionId

IGNORED_FRAMES: Final = frozenset(
    {"server.connected", "server.heartbeat", "turn.started", "turn.taken"}
)
"""What a watcher learns nothing from."""
_TAKEN: Final = "turn.taken"


def session_of(frame: HarnessFrame) -> HarnessSessionId | None:
    """Return the session that a frame is about; `None` for what concerns the whole process."""
    session = text_of(frame, "sessionID")
    return HarnessSessionId(session) if session else None


def find_turn(history: HarnessHistory, prompt: str) -> Sequence[HarnessFrame]:
    """Return the frames of a prompt's turn, and the session's own; empty before it was taken."""
    frames = [frame for frame in history if text_of(frame, "messageID") in (prompt, "")]
    taken = any(
        text_of(frame, "type") == _TAKEN and text_of(frame, "messageID") == prompt
        for frame in frames
    )
    return frames if taken else []
