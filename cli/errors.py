"""What stops a command: each is one sentence for the person at the terminal, with the remedy."""

from cattery.errors import CatteryError


class CommandError(CatteryError):
    """The command cannot do its work; the message says why and what to do. Exit code 1."""

    code = "command"


class AlreadyRunningError(CommandError):
    """Another `cattery up` holds this data folder; use that one, or end it with `cattery down`."""

    code = "already_running"


class PartFailedError(CommandError):
    """A part did not become ready; the message ends with the tail of its log."""

    code = "part_failed"
