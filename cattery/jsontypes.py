"""Names for JSON values, so that what comes from outside is never a bare `Any`."""

type Json = None | bool | int | float | str | list[Json] | dict[str, Json]
type JsonObject = dict[str, Json]
