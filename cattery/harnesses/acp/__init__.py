"""Any agent that speaks the Agent Client Protocol, behind our bridge, from its manifest alone."""

from functools import partial

from cattery.harnesses.acp.launch import launch_acp
from cattery.harnesses.acp.translator import AcpTranslator
from cattery.harnesses.bridged.client import BridgeClient
from cattery.harnesses.bridged.turns import session_of
from cattery.harnesses.manifest import Manifest
from cattery.harnesses.port import Implementation


def implement(manifest: Manifest) -> Implementation:
    """Return the parts that the registry joins with a manifest that has a `[launch]`."""
    return Implementation(
        launch=partial(launch_acp, manifest),
        client=BridgeClient,
        translator=AcpTranslator,
        session_of=session_of,
    )
