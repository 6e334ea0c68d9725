"""Names for JSON values, so that what comes from outside is never a bare `Any`."""

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None
type JsonObject = dict[str, Json]
