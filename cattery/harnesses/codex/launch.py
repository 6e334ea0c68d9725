"""How Codex is started: against our gateway alone, without daemons, updates or questions of trust.

Every switch here stops something that was seen to reach out or to survive in the pinned release.
"""

import json

from cattery.harnesses.launching import openai_url
from cattery.harnesses.port import Launch, LaunchInput
from cattery.harnesses.terminal.launch import bridge_command, bridge_environment

_CONFIGURATION = """\
model = {model}
model_provider = "cattery"
check_for_update_on_startup = false
# The sandbox is the one that it runs in; its own cannot be made inside.
approval_policy = "never"
sandbox_mode = "danger-full-access"

[model_providers.cattery]
name = "Cattery's model gateway"
base_url = {url}
env_key = "OPENAI_API_KEY"
wire_api = "responses"

[features]
# A daemon would copy itself into HOME, outlive the terminal and keep 200 MB.
daemon_auto_start = false
plugins = false
apps = false

[analytics]
enabled = false

[projects.{workspace}]
trust_level = "trusted"
"""


def launch_codex(given: LaunchInput) -> Launch:
    """Build the command, environment and files that start Codex's bridge."""
    return Launch(
        argv=bridge_command("codex", given),
        # Whatever the model's family: Codex speaks OpenAI's Responses API alone.
        env={
            **bridge_environment(given),
            "OPENAI_BASE_URL": openai_url(given),
            "OPENAI_API_KEY": given.gateway_token,
        },
        files={
            ".codex/config.toml": _CONFIGURATION.format(
                model=json.dumps(given.model),
                url=json.dumps(openai_url(given)),
                workspace=json.dumps(given.workspace),
            )
        },
        links={".agents/skills": given.skills},
    )
