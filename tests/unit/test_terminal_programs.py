"""How the terminal bridge finds which conversation its program is in."""

import subprocess
import sys
from pathlib import Path

from bridges.terminal.programs import Codex

CONVERSATION = "01a218ab-14ed-7300-b485-3b9e78032a11"
BUSY = """
import os, sys
kept = open(sys.argv[1], "w")
print("open", flush=True)
while True:
    for each in [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]:
        os.close(each)
"""
"""Holds a conversation's file, and opens and closes others all the time, as Codex does its own."""


def test_codex_conversation_is_found_while_it_opens_and_closes_other_files(tmp_path: Path) -> None:
    rollout = tmp_path / f"rollout-2026-11-26T16-23-14-{CONVERSATION}.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", BUSY, str(rollout)], stdout=subprocess.PIPE, text=True
    ) as busy:
        try:
            assert busy.stdout is not None
            assert busy.stdout.readline() == "open\n"
            found = {Codex("codex").find_conversation("any", busy.pid) for _ in range(300)}
        finally:
            busy.kill()
    assert found == {CONVERSATION}
    assert Codex("codex").find_conversation("any", busy.pid) is None
