"""The volumes: a claim for each project's workspace, and one for the skills library."""

from collections.abc import Sequence
from typing import Final

import structlog

from cattery.errors import SandboxError
from cattery.ids import ProjectId
from cattery.jsontypes import JsonObject
from cattery.sandboxes.kubernetes.api import ClusterApi, Kind
from cattery.sandboxes.kubernetes.failures import AlreadyExistsError
from cattery.sandboxes.kubernetes.held import describe_held_claim
from cattery.sandboxes.kubernetes.manifests import build_skills_claim, build_workspace_claim
from cattery.sandboxes.kubernetes.state import ClusterState
from cattery.sandboxes.kubernetes.views import ClaimView, parse_claim
from cattery.sandboxes.names import SKILLS_CLAIM, name_workspace, project_of
from cattery.settings import KubernetesSettings

log = structlog.get_logger(__name__)

PATIENCE: Final = 60.0
"""Seconds that a claim may take to be gone before it is an error with its cause."""


class Claims:
    """Makes and deletes claims. Everything is safe to repeat."""

    def __init__(
        self,
        api: ClusterApi,
        state: ClusterState,
        settings: KubernetesSettings,
        *,
        patience: float = PATIENCE,
    ) -> None:
        self._api = api
        self._state = state
        self._settings = settings
        self._patience = patience

    async def have(self, projects: Sequence[ProjectId]) -> None:
        """Have the skills library's claim and those of projects' workspaces.

        Raises:
            QuotaExceededError: there is no room for one.
        """
        await self._have(SKILLS_CLAIM, build_skills_claim(self._settings))
        for project_id in projects:
            await self.have_workspace(project_id)

    async def have_workspace(self, project_id: ProjectId) -> None:
        """Have the claim of a project's workspace.

        Raises:
            QuotaExceededError: there is no room for it.
            SandboxError: a claim of its name belongs to something else.
        """
        name = name_workspace(project_id)
        await self._have(name, build_workspace_claim(project_id, self._settings))
        there = self._state.claims.get(name)
        if there is not None and project_of(there.labels) != project_id:
            raise SandboxError(
                f"The volume claim {name} is there already, but is not this project's by its "
                "labels. Find out who made it, and delete it or give it the labels."
            )

    async def delete_workspace(self, project_id: ProjectId) -> None:
        """Delete the claim of a project's workspace and wait until it is gone.

        Raises:
            SandboxError: it is still there after a while; the message says what holds it.
        """
        name = name_workspace(project_id)
        found = await self._api.get(Kind.CLAIM, name)
        if found is None:
            return
        claim = parse_claim(found)
        await self._api.delete(Kind.CLAIM, name, uid=claim.uid)
        await self._wait_until_gone(claim)

    async def _have(self, name: str, body: JsonObject) -> None:
        """Create a claim unless it is there; one that is going makes room first."""
        there = self._state.claims.get(name)
        if there is not None and there.deleting_at is None:
            return None
        try:
            made = await self._api.create(Kind.CLAIM, body)
        except AlreadyExistsError:
            found = await self._api.get(Kind.CLAIM, name)
            if found is None:
                return await self._have(name, body)
            self._state.claims.take(found)
            claim = parse_claim(found)
            if claim.deleting_at is None:
                return None
            await self._wait_until_gone(claim)
            return await self._have(name, body)
        log.info("claim_created", claim=name)
        self._state.claims.take(made)
        return None

    async def _wait_until_gone(self, claim: ClaimView) -> None:
        def look() -> bool | None:
            there = self._state.claims.get(claim.name)
            return None if there is not None and there.uid == claim.uid else True

        try:
            await self._state.wait_for(look, about=(claim.name,), timeout=self._patience)
        except TimeoutError as error:
            now = self._state.claims.get(claim.name) or claim
            raise SandboxError(describe_held_claim(now, self._patience)) from error
