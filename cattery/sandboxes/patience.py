"""How long to wait for one answer of a program that is starting."""

FIRST_SECONDS = 0.25
"""opencode takes what comes in the first moments of its port and never answers it: asking again
soon is what brings the answer."""
LONGEST_SECONDS = 1.5
"""For a machine so busy that even a sound program takes long; a client's own probes end in 1 s."""


class ProbePatience:
    """Short at first, and twice as long after each probe that nobody answered."""

    def __init__(self) -> None:
        self.seconds = FIRST_SECONDS

    def grow(self) -> None:
        """Note that a probe was not answered in time."""
        self.seconds = min(2 * self.seconds, LONGEST_SECONDS)
