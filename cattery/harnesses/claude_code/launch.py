"""How Claude Code's bridge is started: offline but for our gateway, with one credential of its own.

Every switch here stops something that was seen to reach out, or to change the model's traffic, in
the pinned release.
"""

from typing import Final

from cattery.harnesses.launching import anthropic_url
from cattery.harnesses.port import Launch, LaunchInput

MAX_RETRIES: Final = 4
"""Of one request to the model; the program's own ten take minutes, and hide that anything fails."""


def launch_claude_code(given: LaunchInput) -> Launch:
    """Build the command and environment that start the bridge."""
    return Launch(
        argv=(
            f"{given.tools}/claude-code/venv/bin/python",
            *("-P", "-m", "bridges.claude_code"),
            *("--host", given.host, "--port", str(given.port)),
        ),
        env=_bridge(given) | _switches() | _models(given) | _credentials(given),
        files={},
        links={".claude/skills": given.skills},
    )


def _bridge(given: LaunchInput) -> dict[str, str]:
    return {
        "HOME": given.home,
        "MODEL": given.model,
        "PORT": str(given.port),
        "PYTHONPATH": given.tools,
        "PYTHONDONTWRITEBYTECODE": "1",
        "BRIDGE_PASSWORD": given.password,
    }


def _switches() -> dict[str, str]:
    return {
        # Telemetry, update checks, announcements: without it, a dozen look-ups a start.
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        # Provider settings are taken from this environment alone, and from no settings file.
        "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST": "1",
        "CLAUDE_CODE_MAX_RETRIES": str(MAX_RETRIES),
        # The task list as one tool that always says the whole list.
        "CLAUDE_CODE_ENABLE_TASKS": "0",
        # Tools that are looked up by a search need a feature that only Anthropic's own API has.
        "ENABLE_TOOL_SEARCH": "0",
        # It is: without it the program refuses some modes to root.
        "IS_SANDBOX": "1",
    }


def _models(given: LaunchInput) -> dict[str, str]:
    """Name the one model for every purpose: the gateway may have no other."""
    names = ("HAIKU", "SONNET", "OPUS")
    return {
        "ANTHROPIC_MODEL": given.model,
        **{f"ANTHROPIC_DEFAULT_{name}_MODEL": given.model for name in names},
    }


def _credentials(given: LaunchInput) -> dict[str, str]:
    """Whatever the model's family: Claude Code speaks Anthropic's API alone."""
    return {
        "ANTHROPIC_BASE_URL": anthropic_url(given),
        "ANTHROPIC_API_KEY": given.gateway_token,
    }
