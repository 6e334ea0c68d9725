"""Records what real ACP agents say through their bridge, for the replay tests.

Run it by hand when a pinned release changes; `recorder` does most of it.

    python tests/record_acp.py --tools <folder> --gateway <its file> --out <folder> codex-acp
"""

import asyncio
import tempfile
from pathlib import Path

from cattery.catalog import ModelFamily
from tests.bridges.acp_site import AcpSite
from tests.harness_types import clone_registry
from tests.recorder import Recording, Scenario, make_parser, record_all

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


def main() -> None:
    parser = make_parser(__doc__ or "")
    parser.add_argument("agent", help="codex-acp or hermes-acp")
    given = parser.parse_args()
    agent = clone_registry()[given.agent]
    tools = given.tools.absolute()
    with tempfile.TemporaryDirectory() as root:
        asyncio.run(
            record_all(
                Recording(agent.id, agent.version, SCENARIOS, lambda _: None),
                lambda folder, gateway: AcpSite(
                    agent.launch, tools, folder, gateway, ModelFamily.OPENAI
                ),
                given,
                Path(root).resolve(),
            )
        )


if __name__ == "__main__":
    main()
