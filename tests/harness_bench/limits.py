"""What a harness does not do for a reason of its own, with where that is seen or said.

A cell that is named here is run all the same: when it passes, the reason is out of date, and the
bench says so.
"""

from collections.abc import Mapping

LIMITS: Mapping[tuple[str, str], str] = {}
"""Reasons by harness type and scenario."""
