"""How Hermes is started: against our gateway alone, and without installing anything at run time.

Its provider `anthropic` ignores an address in the file and would send the token to the real host:
`custom` is used for both families.
"""

import json

from cattery.catalog import ModelFamily
from cattery.harnesses.launching import anthropic_url, gateway_environment, openai_url
from cattery.harnesses.port import Launch, LaunchInput
from cattery.harnesses.terminal.launch import bridge_command, bridge_environment
from cattery.jsontypes import JsonObject


def launch_hermes(given: LaunchInput) -> Launch:
    """Build the command, environment and files that start Hermes's bridge."""
    return Launch(
        argv=bridge_command("hermes", given),
        env={
            **bridge_environment(given),
            **gateway_environment(given),
            "HERMES_DISABLE_LAZY_INSTALLS": "1",
        },
        # YAML reads JSON as it is.
        files={".hermes/config.yaml": json.dumps(_configuration(given), indent=2) + "\n"},
        links={},
    )


def _configuration(given: LaunchInput) -> JsonObject:
    is_anthropic = given.family is ModelFamily.ANTHROPIC
    return {
        "model": {"default": given.model, "provider": "custom:custom"},
        "custom_providers": [
            {
                "name": "custom",
                "base_url": anthropic_url(given) if is_anthropic else openai_url(given),
                "key_env": "ANTHROPIC_API_KEY" if is_anthropic else "OPENAI_API_KEY",
                "api_mode": "anthropic_messages" if is_anthropic else "chat_completions",
                "model": given.model,
            }
        ],
        # The sandbox is the confinement: nobody is asked for leave in it.
        "approvals": {"mode": "off"},
        "skills": {"external_dirs": [given.skills]},
        "security": {"allow_lazy_installs": False},
    }
