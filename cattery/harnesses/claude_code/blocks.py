"""Which part of the conversation a block of Claude Code is: its id, in stream and history alike.

A block is named by its message and its place in it. Pieces of text carry the place; a message that
brings a finished block does not, but comes while that block is the newest one, and the transcript
says it. A sub-agent's messages come without pieces, each block in its turn. What is in the history
may come again on the stream, under the same id of the message that brought it.
"""

from dataclasses import dataclass, field

from cattery.harnesses.frames import number_of, object_of, text_of
from cattery.jsontypes import JsonObject


@dataclass
class Blocks:
    """Follows the blocks of one turn."""

    _open: dict[str, int] = field(default_factory=dict)
    """The newest block of each message that was begun in pieces."""
    _counted: dict[str, int] = field(default_factory=dict)
    """How many finished blocks each message has brought."""
    _lengths: dict[str, int] = field(default_factory=dict)
    """How much of each text was told in pieces."""
    _brought: dict[str, str] = field(default_factory=dict)
    """Finished blocks by what brought them."""

    def begin(self, message_id: str, event: JsonObject) -> str:
        """Take a `content_block_start` and return the block's id."""
        index = int(number_of(event, "index"))
        self._open[message_id] = index
        part_id = f"{message_id}.{index}"
        self._lengths[part_id] = 0
        return part_id

    def grow(self, message_id: str, event: JsonObject, text: str) -> tuple[str, int] | None:
        """Take a piece of text; its block and offset, unless the block's beginning was missed."""
        part_id = f"{message_id}.{int(number_of(event, 'index'))}"
        offset = self._lengths.get(part_id)
        if offset is None:
            return None
        self._lengths[part_id] = offset + len(text)
        return part_id, offset

    def finish(self, message: JsonObject, place: int) -> str:
        """Return the id of a finished block: the one at a place of an `assistant` message."""
        brought = f"{text_of(message, 'uuid')}.{place}"
        known = self._brought.get(brought)
        if known is not None:
            return known
        message_id = text_of(object_of(message, "message"), "id")
        index = self._open.get(message_id, self._counted.get(message_id, 0))
        if "block_index" in message:
            index = int(number_of(message, "block_index")) + place
        self._counted[message_id] = index + 1
        part_id = f"{message_id}.{index}"
        self._brought[brought] = part_id
        return part_id
