"""The scripted harness as a harness type, for workers here and in processes of their own.

`python tests/scripted_type.py` runs a real worker that has this type instead of opencode. Its
sandboxes are not confined: the scripted harness needs this very interpreter.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from cattery.harnesses.opencode.client import OpencodeClient
from cattery.harnesses.opencode.translator import OpencodeTranslator, is_piece, session_of
from cattery.harnesses.port import HarnessType, Launch, LaunchInput, TransportKind

SCRIPT = Path(__file__).with_name("scripted_harness.py")
PROMPTS_FILE = "prompts.jsonl"
"""In the harness's HOME: a line for each prompt that was posted to it."""


def launch_scripted(given: LaunchInput) -> Launch:
    return Launch(
        argv=(
            sys.executable,
            str(SCRIPT),
            *("--host", given.host, "--port", str(given.port), f"--password={given.password}"),
            *("--prompts", f"{given.home}/{PROMPTS_FILE}", "--state", f"{given.home}/state.json"),
        ),
        env={},
        files={},
        links={},
    )


def scripted_type() -> HarnessType:
    return HarnessType(
        id="opencode",
        display_name="Scripted",
        transport=TransportKind.HTTP,
        version="scripted",
        launch=launch_scripted,
        client=OpencodeClient,
        translator=OpencodeTranslator,
        session_of=session_of,
        is_piece=is_piece,
    )


SCRIPTED: Mapping[str, HarnessType] = {"opencode": scripted_type()}

if __name__ == "__main__":
    from workers.main import run

    run(SCRIPTED)
