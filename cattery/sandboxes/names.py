"""Names and labels of everything that we make in a cluster (contract/harness.md: fixed).

Pure and the same on every retry: whoever lost the answer to a create finds the object again by its
name, and every object tells by its labels whose it is. The local runtime takes its sandbox's name
from here too.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final
from uuid import UUID

from cattery.ids import HarnessId, ProjectId

HARNESS_LABEL: Final = "cattery.dev/harness-id"
PROJECT_LABEL: Final = "cattery.dev/project-id"
COMPONENT_LABEL: Final = "app.kubernetes.io/component"
MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "cattery-worker"
GENERATION_ANNOTATION: Final = "cattery.dev/generation"
"""On a Sandbox and, through its template, on its pod: which start they belong to."""
LAUNCH_ANNOTATION: Final = "cattery.dev/launch"
"""On a Sandbox: the name of the Secret that its present generation is started with."""
PROBE_LABEL: Final = "cattery.dev/probe"
"""On a network probe: who started it. It has the labels of a sandbox otherwise, but no harness."""

SKILLS_CLAIM: Final = "cattery-skills-work"
SKILL_MANAGER: Final = "cattery-skillmgr"


class Component(StrEnum):
    """What an object is for, as its `app.kubernetes.io/component` says."""

    SANDBOX = "sandbox"
    FILE_MANAGER = "filemgr"
    SKILL_MANAGER = "skillmgr"
    WORKSPACE = "workspace"
    SKILLS = "skills"


def name_sandbox(harness_type: str, harness_id: HarnessId) -> str:
    """Return a sandbox's name, the same in every runtime."""
    return f"cattery-{harness_type}-{harness_id}"


def name_file_manager(project_id: ProjectId) -> str:
    """Return the name of a project's file manager."""
    return f"cattery-filemgr-{project_id}"


def name_workspace(project_id: ProjectId) -> str:
    """Return the name of the claim that holds a project's files."""
    return f"cattery-project-{project_id}-work"


def name_launch(sandbox: str, nonce: str) -> str:
    """Return the name of the Secret that one start of a sandbox reads, and no other ever will."""
    return f"{sandbox}-{nonce}"


def label(
    component: Component,
    name: str,
    *,
    project_id: ProjectId | None = None,
    harness_id: HarnessId | None = None,
) -> dict[str, str]:
    """Return an object's labels. `name` is the object's own."""
    labels = {
        "app.kubernetes.io/name": "cattery",
        "app.kubernetes.io/part-of": "cattery",
        MANAGED_BY_LABEL: MANAGED_BY,
        COMPONENT_LABEL: component.value,
        "app.kubernetes.io/instance": name,
    }
    if project_id is not None:
        labels[PROJECT_LABEL] = str(project_id)
    if harness_id is not None:
        labels[HARNESS_LABEL] = str(harness_id)
    return labels


def harness_of(labels: Mapping[str, str]) -> HarnessId | None:
    """Read which harness an object belongs to; `None` where it says none."""
    found = _uuid_at(labels, HARNESS_LABEL)
    return None if found is None else HarnessId(found)


def project_of(labels: Mapping[str, str]) -> ProjectId | None:
    """Read which project an object belongs to; `None` where it says none."""
    found = _uuid_at(labels, PROJECT_LABEL)
    return None if found is None else ProjectId(found)


def _uuid_at(labels: Mapping[str, str], name: str) -> UUID | None:
    try:
        return UUID(labels.get(name, ""))
    except ValueError:
        return None
