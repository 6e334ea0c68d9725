"""What a harness does not do for a reason of its own, with where that is seen or said.

A cell that is named here is run all the same: when it passes, the reason is out of date, and the
bench says so.
"""

from collections.abc import Mapping

_HERMES_SAYS = (
    "Hermes tells a model's failure over ACP as the text of its answer, and ends the prompt with "
    "`end_turn`: nothing marks it as an error (`acp_adapter/server.py` of hermes-agent 0.19.0)"
)

LIMITS: Mapping[tuple[str, str], str] = {
    ("hermes-acp", "model-401"): _HERMES_SAYS,
    ("hermes-acp", "model-500"): _HERMES_SAYS,
    ("hermes-acp", "abort-tool"): (
        "Hermes ends a cancelled prompt while its command runs on: the stop is seen, but a "
        "prompt that comes at once goes into a queue of its own (`Queued for the next turn`) and "
        "gets no answer of its own"
    ),
    ("hermes-acp", "model-cut"): (
        "Hermes tries a broken stream again, tells each try's beginning one behind the other, and "
        "ends with `end_turn` as if that were the answer"
    ),
    ("hermes-acp", "title"): (
        "Hermes asks for titles over Chat Completions, whatever its provider's `api_mode`: with an "
        "Anthropic model that is a path that the gateway does not serve. With an OpenAI model they "
        "come (`tests/recordings/hermes-acp`)"
    ),
    ("opencode", "hostile"): (
        "a plugin in a repository's `.opencode/plugin` runs in the sandbox: the second of the two "
        "configuration loaders of 1.18.33 heeds neither `OPENCODE_DISABLE_PROJECT_CONFIG` nor "
        "`OPENCODE_PURE`; addresses, keys and servers of its `opencode.json` reach nothing"
    ),
    ("codex", "term-hostile-mcp"): (
        "Codex starts the servers of a trusted folder's `.codex/config.toml`, and stops at a "
        "question at each start in a folder that is not trusted; they run in the sandbox, with its "
        "network and its user, and get no key"
    ),
    ("codex-acp", "model-429"): (
        "codex-rs builds its provider with `retry_429: false`: it tries again after 5xx and broken "
        "connections, not after 429; the turn fails with the model's status"
    ),
}
"""Reasons by harness type and scenario."""
