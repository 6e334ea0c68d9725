"""What can be wrong with a request, as errors that know their HTTP status."""


class BridgeError(Exception):
    """A request cannot be done; the message is for whoever sent it."""

    status = 500


class MalformedError(BridgeError):
    """The request itself is wrong. Correct it before sending it again."""

    status = 400


class UnknownError(BridgeError):
    """What the request names is not there."""

    status = 404


class TakenError(BridgeError):
    """A message id was used for another prompt. Choose a new one."""

    status = 409


class FullError(BridgeError):
    """Too much waits already. Try again once a turn has ended."""

    status = 429
