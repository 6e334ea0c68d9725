"""opencode: how it is started, spoken to and understood. Facts hold for the pinned release."""

from functools import partial

from cattery.harnesses.manifest import Manifest
from cattery.harnesses.opencode.client import OpencodeClient
from cattery.harnesses.opencode.launch import launch_opencode
from cattery.harnesses.opencode.translator import OpencodeTranslator, is_piece, session_of
from cattery.harnesses.port import Implementation


def implement(manifest: Manifest) -> Implementation:
    """Return the parts that the registry joins with opencode's manifest."""
    return Implementation(
        launch=partial(launch_opencode, version=manifest.version),
        client=OpencodeClient,
        translator=OpencodeTranslator,
        session_of=session_of,
        is_piece=is_piece,
    )
