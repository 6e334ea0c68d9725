"""The bridge's history of a session: which part of it is one turn.

It has the frames of the stream without the pieces of text, so the translator reads both alike. A
turn begins with `turn.taken`; one that is over ends with `turn.ended`.
"""

from collections.abc import Sequence
from typing import Final

from cattery.harnesses.frames import text_of
from cattery.harnesses.port import HarnessFrame, HarnessHistory

TAKEN: Final = "turn.taken"
ENDED: Final = "turn.ended"


def find_turn(history: HarnessHistory, prompt: str) -> Sequence[HarnessFrame]:
    """Return the frames of a prompt's turn, and the session's own; empty before it was taken."""
    frames = [frame for frame in history if text_of(frame, "messageID") in (prompt, "")]
    taken = any(
        text_of(frame, "type") == TAKEN and text_of(frame, "messageID") == prompt
        for frame in frames
    )
    return frames if taken else []
