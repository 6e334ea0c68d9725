"""The launch secret: everything that one start of a pod must know and nobody else.

harness_images/start.sh reads it inside. `env` is a POSIX shell file, `file-0` and so on are files
beneath HOME, which the pod's volume gives their paths, and `links` has a line for each symbolic
link there.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from kubernetes.aio import client as k8s

from cattery.errors import SandboxSetupError
from cattery.jsontypes import JsonObject
from cattery.sandboxes.environment import is_valid_name
from cattery.sandboxes.kubernetes.pod_template import name_file_key, to_json

_SEPARATOR: Final = re.compile(r"[\t\n\0]")


def build_launch_secret(
    *,
    owner: tuple[str, str],
    name: str,
    labels: Mapping[str, str],
    env: Mapping[str, str],
    files: Mapping[str, str],
    links: Mapping[str, str],
) -> JsonObject:
    """Build the secret. It cannot be changed, and goes with its owner.

    Args:
        owner: name and uid of the Sandbox.
        name: the secret's own.
        labels: the secret's own.
        env: what the program gets beside what its image sets.
        files: contents by their paths beneath HOME.
        links: targets by their paths beneath HOME.

    Raises:
        SandboxSetupError: something cannot be passed on as it is.
    """
    contents = {"env": write_environment(env), "links": _write_links(links)}
    contents |= {name_file_key(n): files[path] for n, path in enumerate(order_files(files))}
    owner_name, owner_uid = owner
    return to_json(
        k8s.V1Secret(
            api_version="v1",
            kind="Secret",
            metadata=k8s.V1ObjectMeta(
                name=name,
                labels=dict(labels),
                owner_references=[
                    k8s.V1OwnerReference(
                        api_version="agents.x-k8s.io/v1beta1",
                        kind="Sandbox",
                        name=owner_name,
                        uid=owner_uid,
                        controller=False,
                        block_owner_deletion=False,
                    )
                ],
            ),
            type="Opaque",
            immutable=True,
            string_data=contents,
        )
    )


def order_files(paths: Iterable[str]) -> tuple[str, ...]:
    """Put paths into the order in which their contents are numbered."""
    return tuple(sorted(paths))


def write_environment(env: Mapping[str, str]) -> str:
    """Write variables as a POSIX shell file that sets them, whatever their values hold.

    Raises:
        SandboxSetupError: a variable cannot be set by any shell.
    """
    for name, value in env.items():
        if not is_valid_name(name) or "\0" in value:
            raise SandboxSetupError(
                f"The environment variable {name[:100]!r} cannot be set for a program: a name has "
                "letters, digits and _ only and begins with no digit, a value has no NUL."
            )
    return "".join(f"export {name}={_quote(value)}\n" for name, value in sorted(env.items()))


def _quote(value: str) -> str:
    """Quote a text for a shell: between single quotes only a single quote is special."""
    return "'" + value.replace("'", "'\\''") + "'"


def _write_links(links: Mapping[str, str]) -> str:
    for path, target in links.items():
        if _SEPARATOR.search(path + target):
            raise SandboxSetupError(f"The link {path!r} to {target!r} has a tab or a new line.")
    return "".join(f"{path}\t{target}\n" for path, target in sorted(links.items()))
