"""Records what real ACP agents say through their bridge, for the replay tests.

Run it by hand when a pinned release changes; as `record_claude_code`, in the same form.

    python tests/record_acp.py --tools <folder> --gateway <its file> --out <folder> codex-acp
"""

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast, override

import orjson
import uvicorn

from cattery.catalog import ModelFamily
from cattery.jsontypes import JsonObject
from tests.bridges.acp_site import AcpSite
from tests.harness_types import clone_registry
from tests.record_claude_code import Recorder
from tests.record_opencode import Scenario, free_port, load_gateway

TEXT = r'"agent_message_chunk"'
RUNNING = r'"sessionUpdate":"tool_call"'
WAIT = "run `python3 -c 'import time; time.sleep(20)'`"
ASKED = r'"type":"question.asked"'
SCENARIOS = (
    Scenario("hello", ("say hello",)),
    Scenario("think", ("think",)),
    Scenario("create_file", ("create file notes.txt",)),
    Scenario("edit_file", ("edit file notes.txt",)),
    Scenario("failing_command", ("run `ls /nowhere`",)),
    Scenario("unknown_tool", ("badtool",)),
    Scenario("parallel", ("parallel",)),
    Scenario("chain", ("chain 3",)),
    Scenario("todo", ("todo",)),
    Scenario("abort_text", ("slow", "say hello"), TEXT, "abort", after=4),
    Scenario("abort_tool", (WAIT, "say hello"), RUNNING, "abort"),
    Scenario("abort_early", ("slow", "say hello"), r'"type":"turn.started"', "abort"),
    Scenario("fail_400", ("fail400", "say hello")),
    Scenario("unicode", ("unicode",)),
    Scenario("two_prompts", ("say hello", "create file second.txt")),
    Scenario("two_sessions", ("think", "create file third.txt"), at_once=True),
    Scenario("killed", ("slow", "say hello"), TEXT, "kill", after=4),
)


class AcpRecorder(Recorder):
    """Names the agent in the head."""

    agent = ""

    @override
    def write(self, folder: Path) -> None:
        head: JsonObject = {
            "scenario": self.scenario.name,
            self.agent: clone_registry()[self.agent].version,
            "turns": [{"session": s, "message": m, "text": t} for s, m, t in self.turns],
        }
        lines = [self.bridge.mask(orjson.dumps(line)) for line in [head, *self.lines]]
        (folder / f"{self.scenario.name}.jsonl").write_bytes(b"\n".join(lines) + b"\n")


async def record_all(
    agent: str, tools: Path, gateway: Path, out: Path, only: Sequence[str]
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = uvicorn.Config(load_gateway(gateway), host="127.0.0.1", port=port, log_level="error")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    AcpRecorder.agent = agent
    launch = clone_registry()[agent].launch
    with tempfile.TemporaryDirectory() as root:
        site = AcpSite(
            launch, tools, Path(root).resolve(), f"http://127.0.0.1:{port}", ModelFamily.OPENAI
        )
        client = cast("Any", await site.start())
        try:
            for scenario in SCENARIOS:
                if only and scenario.name not in only:
                    continue
                recorder = AcpRecorder(cast("Any", site), client, scenario)
                client = await recorder.record()
                recorder.write(out)
                print(f"{scenario.name}: {len(recorder.lines)} lines", flush=True)
        finally:
            await client.close()
            await site.kill()
    server.should_exit = True
    await serving


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("agent", help="codex-acp or hermes-acp")
    parser.add_argument("--tools", type=Path, required=True)
    parser.add_argument("--gateway", type=Path, required=True, help="the scripted model gateway")
    parser.add_argument("--out", type=Path, required=True, help="folder for the recordings")
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args()
    asyncio.run(record_all(given.agent, given.tools, given.gateway, given.out, given.only))


if __name__ == "__main__":
    main()
