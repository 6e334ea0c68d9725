"""Sandboxes as isolated processes of this machine."""

from cattery.sandboxes.local.runtime import LocalRuntime

__all__ = ["LocalRuntime"]
