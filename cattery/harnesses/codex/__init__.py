"""Codex in its own terminal interface, behind our bridge."""

from cattery.harnesses.codex.launch import launch_codex
from cattery.harnesses.manifest import Manifest
from cattery.harnesses.port import Implementation
from cattery.harnesses.terminal.client import TerminalClient


def implement(_manifest: Manifest) -> Implementation:
    """Return the parts that the registry joins with Codex's manifest."""
    return Implementation(launch=launch_codex, client=TerminalClient)
