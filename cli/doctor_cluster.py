"""`cattery doctor --cluster`: looks at the cluster that sandboxes run in, and at its network.

It sees what its credentials see. In a worker's pod these are the worker's own, so that a missing
right shows, and one too many.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Final

from cattery.errors import CatteryError
from cattery.logs import configure_logging
from cattery.sandboxes.kubernetes.network import DOCTOR, check_cluster
from cattery.sandboxes.kubernetes.network_finding import NetworkCheck, NetworkFinding, advise
from cattery.sandboxes.kubernetes.survey import EXCESS, NEEDED, Right, Survey
from cattery.settings import DatabaseSettings, KubernetesSettings, SandboxSettings
from cli.configuration import read_settings
from cli.console import Console
from cli.doctor import Finding, print_finding

RELEASE: Final = (
    "kubectl apply --server-side -f "
    "https://github.com/kubernetes-sigs/agent-sandbox/releases/download/v0.5.6/sandbox.yaml"
)
_NOT_READABLE: Final = "not readable with these rights, which is as it should be for the worker"
_IN_WORKER: Final = (
    "kubectl -n cattery-system exec deploy/cattery-worker -- cattery doctor --cluster"
)
_RESTRICTED: Final = "pod-security.kubernetes.io/enforce"
_NEARLY: Final = 10


def run_cluster_doctor(*, as_json: bool) -> None:
    """Print a line for each check; exit code 1 where one failed.

    Raises:
        SandboxSetupError: no cluster is configured.
    """
    configure_logging(log_format="auto", level="ERROR")  # what matters is among the findings
    findings = asyncio.run(_examine(as_json=as_json))
    failed = sum(finding.level == "fail" for finding in findings)
    console = Console()
    if as_json:
        print(json.dumps({"failed": failed, "findings": [asdict(f) for f in findings]}, indent=2))
    elif failed:
        console.say(f"{failed} of {len(findings)} checks failed.", tone="bad")
    else:
        console.say("Sandboxes can run here.", tone="good")
    if failed:
        sys.exit(1)


async def _examine(*, as_json: bool) -> list[Finding]:
    """Make all checks, and print each finding as it comes unless JSON is wanted."""
    settings, sandboxes = read_settings(KubernetesSettings), read_settings(SandboxSettings)
    console = Console()

    def tell(text: str) -> None:
        if not as_json:
            console.say(f"      network      … {text}", tone="faint")

    survey = await Survey.connect(settings)
    findings: list[Finding] = []
    try:
        async for finding in _look(survey, settings, sandboxes, tell):
            findings.append(finding)
            if not as_json:
                print_finding(console, finding)
    finally:
        await survey.close()
    return findings


async def _look(
    survey: Survey,
    settings: KubernetesSettings,
    sandboxes: SandboxSettings,
    tell: Callable[[str], None],
) -> AsyncIterator[Finding]:
    try:
        version = await survey.read_version()
    except CatteryError as error:
        yield Finding("fail", "API server", error.message)
        return
    yield Finding("ok", "API server", f"Kubernetes {version} at {survey.server}")
    for subject, look in _CHECKS.items():
        try:
            yield await look(survey, settings)
        except CatteryError as error:
            yield Finding("fail", subject, error.message)
    async for finding in _look_at_network(settings, sandboxes, tell):
        yield finding


async def _sandbox_api(survey: Survey, _: KubernetesSettings) -> Finding:
    versions = await survey.list_sandbox_versions()
    served = ", ".join(versions)
    if "v1beta1" in versions:
        return Finding("ok", "Sandbox API", f"agent-sandbox serves {served}")
    if "v1alpha1" in versions:
        text = f"only {served} is served: agent-sandbox is 0.4.6 or older. Upgrade it: {RELEASE}"
        return Finding("warn", "Sandbox API", text)
    text = f"agent-sandbox is not installed, or serves no version that we know. Run: {RELEASE}"
    return Finding("fail", "Sandbox API", text)


async def _rights(survey: Survey, settings: KubernetesSettings) -> Finding:
    allowed = await survey.find_allowed((*NEEDED, *EXCESS))
    missing = [right for right in NEEDED if right not in allowed]
    excess = [right for right in EXCESS if right in allowed]
    where = f'in namespace "{settings.namespace}"'
    if missing:
        text = (
            f"these are missing {where}: {_list(missing)}. Apply k8s/base/worker-role.yaml, or use "
            "credentials that have them."
        )
        return Finding("fail", "rights", text)
    if excess and _is_inside():
        text = (
            f"the worker may do more {where} than it needs: {_list(excess)}. Whoever takes the "
            "worker over may, too. Look for other RoleBindings of its ServiceAccount."
        )
        return Finding("warn", "rights", text)
    more = ", and no other that was tried"
    if excess:
        more = f"; these credentials may do more. To see what the worker may: {_IN_WORKER}"
    return Finding("ok", "rights", f"all {len(NEEDED)} that the worker needs {where}{more}")


async def _namespace(survey: Survey, settings: KubernetesSettings) -> Finding:
    labels = await survey.read_namespace_labels()
    if labels is None:
        return Finding("ok", "namespace", f'"{settings.namespace}": its labels are {_NOT_READABLE}')
    level = labels.get(_RESTRICTED)
    if level == "restricted":
        return Finding("ok", "namespace", f'"{settings.namespace}", Pod Security restricted')
    text = (
        f'"{settings.namespace}" has {_RESTRICTED}={level or "(nothing)"}: pods with privileges '
        f"could be made there. Run: kubectl label namespace {settings.namespace} --overwrite "
        f"{_RESTRICTED}=restricted"
    )
    return Finding("fail", "namespace", text)


async def _storage(survey: Survey, settings: KubernetesSettings) -> Finding:
    classes = await survey.list_storage_classes()
    if classes is None:
        return Finding("ok", "volumes", f"storage classes are {_NOT_READABLE}")
    wanted = settings.storage_class
    if wanted and wanted not in classes:
        there = ", ".join(classes) or "none"
        text = (
            f"there is no storage class {wanted} (CATTERY_K8S_STORAGE_CLASS), but: {there}. "
            "Choose one of these."
        )
        return Finding("fail", "volumes", text)
    default = [name for name, is_default in classes.items() if is_default]
    if not wanted and not default:
        text = (
            "no storage class is the default one, so volumes stay pending. Name one: "
            f"CATTERY_K8S_STORAGE_CLASS (there are: {', '.join(classes) or 'none'})."
        )
        return Finding("fail", "volumes", text)
    return Finding("ok", "volumes", f"storage class {wanted or default[0]}")


async def _quota(survey: Survey, settings: KubernetesSettings) -> Finding:
    from cattery.sandboxes.kubernetes.quantities import parse_quantity

    quotas = await survey.list_quotas()
    if quotas is None:
        return Finding("ok", "quota", _NOT_READABLE)
    if not quotas:
        text = f'namespace "{settings.namespace}" has none: sandboxes may fill the cluster. '
        return Finding("warn", "quota", f"{text}Apply k8s/base/quota.yaml.")
    low = []
    for quota in quotas:
        used, limit = parse_quantity(quota.used), parse_quantity(quota.limit)
        if used is not None and limit and (limit - used) * _NEARLY < limit:
            low.append(f"{quota.name} {quota.used} of {quota.limit}")
    if low:
        text = f"nearly used up: {', '.join(low)}. Starts will wait. Raise it, or stop something."
        return Finding("warn", "quota", text)
    pods = next((f", pods {q.used} of {q.limit}" for q in quotas if q.name == "pods"), "")
    return Finding("ok", "quota", f"there is room{pods}")


_CHECKS: Final = {
    "Sandbox API": _sandbox_api,
    "rights": _rights,
    "namespace": _namespace,
    "volumes": _storage,
    "quota": _quota,
}


async def _look_at_network(
    settings: KubernetesSettings, sandboxes: SandboxSettings, tell: Callable[[str], None]
) -> AsyncIterator[Finding]:
    """Check the network, for up to half a minute."""
    is_known = "gateway_url" in sandboxes.model_fields_set
    gateway = sandboxes.gateway_url if is_known else None
    try:
        found = await check_cluster(settings, gateway, purpose=DOCTOR, tell=tell)
    except CatteryError as error:
        text = f"could not be checked, and so no sandbox starts: {error.message}"
        yield Finding("fail", "network", text)
        return
    for check in found.checks:
        yield _describe(check)
    if not found.enforced:
        yield Finding("fail", "network", found.summary)
    if not found.enforced and settings.allow_unenforced_network:
        text = "sandboxes start all the same: CATTERY_K8S_ALLOW_UNENFORCED_NETWORK is true."
        yield Finding("warn", "network", text)
    if os.environ.get("DATABASE_URL"):
        yield await _pass_on(found, settings)


def _describe(check: NetworkCheck) -> Finding:
    subject = f"{check.name} ({check.where})"
    if check.seen is None:
        return Finding("ok", "network", f"{subject} was not tried: {check.detail}")
    text = f"{subject} is {check.seen.value}: {check.detail}"
    if check.ok:
        return Finding("ok", "network", text)
    return Finding("fail", "network", f"{text}. {advise(check)}")


async def _pass_on(found: NetworkFinding, settings: KubernetesSettings) -> Finding:
    """Keep the finding for the workers, which otherwise believe an older one for a while."""
    from cattery.db.engine import connect
    from cattery.db.site_facts import NETWORK, store_fact
    from workers.network import write_fact

    database = connect(read_settings(DatabaseSettings))
    try:
        async with database.write() as session:
            await store_fact(session, NETWORK, write_fact(found.write(), settings))
    except Exception as error:  # noqa: BLE001 - the finding itself is what was asked for
        reason = str(error).partition("\n")[0]
        text = f"the workers could not be told ({reason}); they check for themselves in a while"
        return Finding("warn", "network", text)
    finally:
        await database.close()
    return Finding("ok", "network", "the workers know of it now")


def _list(rights: list[Right]) -> str:
    return ", ".join(map(str, rights))


def _is_inside() -> bool:
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
