"""What the event streams carry beside the contract's events."""

from pydantic import BaseModel, Field

from cattery.jsontypes import JsonObject


class LoggedEvent(BaseModel):
    """An event as the log has it; `type` and `data` are a platform event."""

    seq: int = Field(description="1, 2, 3, … in the session, without a gap.")
    turn_no: int
    type: str
    data: JsonObject
