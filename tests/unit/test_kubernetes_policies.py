"""The network policies deny everything but what is meant, and the file in k8s/ is what they are."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cattery.errors import BadRequestError
from cattery.jsontypes import Json, JsonObject
from cattery.sandboxes.kubernetes.allow_list import check_allowed
from cattery.sandboxes.kubernetes.manifests import FILE_MANAGER_PORT, HARNESS_PORT
from cattery.sandboxes.kubernetes.policies import Port, Site, build_policies, main, render
from cattery.sandboxes.kubernetes.reading import as_list, as_object, as_text
from cattery.sandboxes.names import Component

GENERATED = Path(__file__).parents[2] / "k8s" / "base" / "network-policies.yaml"
POLICIES = build_policies(Site())
NAME = "kubernetes.io/metadata.name"


def spec_of(policy: JsonObject) -> JsonObject:
    return as_object(policy["spec"])


def name_of(policy: JsonObject) -> tuple[str, str]:
    metadata = as_object(policy["metadata"])
    return as_text(metadata["namespace"]), as_text(metadata["name"])


def of(role: str, policies: list[JsonObject] = POLICIES) -> JsonObject:
    return next(spec_of(policy) for policy in policies if name_of(policy)[1] == f"cattery-{role}")


def peers(rule: Json) -> list[JsonObject]:
    return [
        as_object(peer)
        for direction in ("from", "to")
        for peer in as_list(as_object(rule).get(direction))
    ]


def all_rules() -> Iterator[tuple[str, JsonObject]]:
    for policy in POLICIES:
        for direction in ("ingress", "egress"):
            for rule in as_list(spec_of(policy)[direction]):
                yield name_of(policy)[1], as_object(rule)


def ports(rule: Json) -> list[tuple[str, Json]]:
    found = (as_object(port) for port in as_list(as_object(rule)["ports"]))
    return [(as_text(port["protocol"]), port.get("port")) for port in found]


def said(role: str, direction: str) -> list[tuple[tuple[str, ...], list[tuple[str, Json]]]]:
    """Put the rules of a policy into (who, ports) pairs."""
    return [
        (tuple(_who(peer) for peer in peers(rule)), ports(rule))
        for rule in as_list(of(role)[direction])
    ]


def _who(peer: JsonObject) -> str:
    if "ipBlock" in peer:
        return as_text(as_object(peer["ipBlock"])["cidr"])
    namespace = as_object(as_object(peer["namespaceSelector"])["matchLabels"])[NAME]
    labels = as_object(as_object(peer["podSelector"])["matchLabels"])
    which = labels.get("app.kubernetes.io/component") or labels.get("k8s-app")
    return f"{namespace}/{which}"


def tcp(port: int) -> list[tuple[str, Json]]:
    return [("TCP", port)]


def test_the_file_in_the_repository_is_what_the_model_says() -> None:
    """After a change: python -m cattery.sandboxes.kubernetes.policies > k8s/base/network-…yaml."""
    assert GENERATED.read_text() == render()
    assert list(yaml.safe_load_all(GENERATED.read_text())) == POLICIES


def test_both_namespaces_deny_everything_by_default() -> None:
    nothing: JsonObject = {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [],
        "egress": [],
    }
    denied = [name_of(policy)[0] for policy in POLICIES if spec_of(policy) == nothing]
    assert denied == ["cattery-system", "cattery-sandboxes"]


def test_every_policy_says_something_of_both_directions() -> None:
    assert all(spec_of(policy)["policyTypes"] == ["Ingress", "Egress"] for policy in POLICIES)
    assert len({name_of(policy) for policy in POLICIES}) == len(POLICIES)


def test_every_peer_names_namespace_and_pods_in_one_item() -> None:
    """As two items they would be one or the other: all pods of a namespace, or of ours anywhere."""
    for policy, rule in all_rules():
        for peer in peers(rule):
            assert set(peer) in ({"namespaceSelector", "podSelector"}, {"ipBlock"}), policy
            for selector in set(peer) - {"ipBlock"}:
                assert as_object(as_object(peer[selector])["matchLabels"]), policy


def test_every_rule_names_its_ports() -> None:
    assert all(rule.get("ports") for _, rule in all_rules())


def test_a_sandbox_reaches_the_gateway_alone_and_no_dns() -> None:
    assert said("sandbox", "egress") == [(("cattery-system/gateway",), tcp(8081))]


def test_a_sandbox_is_reached_by_the_worker_and_by_the_api_in_a_rule_each() -> None:
    assert said("sandbox", "ingress") == [
        (("cattery-system/worker",), tcp(4096)),
        (("cattery-system/api",), tcp(4096)),
    ]


@pytest.mark.parametrize("role", ["filemgr", "skillmgr"])
def test_a_file_manager_is_reached_by_api_and_worker_and_reaches_nothing(role: str) -> None:
    assert said(role, "egress") == []
    assert said(role, "ingress") == [
        (("cattery-system/api",), tcp(4097)),
        (("cattery-system/worker",), tcp(4097)),
    ]


def test_the_gateway_is_reached_by_sandboxes_alone_and_reaches_no_private_address() -> None:
    assert said("gateway", "ingress") == [(("cattery-sandboxes/sandbox",), tcp(8081))]
    assert said("gateway", "egress") == [
        (("cattery-system/postgres",), tcp(5432)),
        (("kube-system/kube-dns",), [("UDP", 53), ("TCP", 53)]),
        (("0.0.0.0/0", "::/0"), [("TCP", None)]),
    ]
    v4 = as_object(as_object(peers(as_list(of("gateway")["egress"])[-1])[0])["ipBlock"])
    assert set(as_list(v4["except"])) >= {
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
        *("169.254.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "224.0.0.0/4"),
    }


def test_only_the_worker_reaches_the_clusters_api() -> None:
    api_server = [("TCP", 443), ("TCP", 6443)]
    reaching = [policy for policy, rule in all_rules() if ports(rule) == api_server]
    assert reaching == ["cattery-worker"]


def test_only_the_gateway_and_the_worker_reach_beyond_the_cluster() -> None:
    outside = {policy for policy, rule in all_rules() if any("ipBlock" in p for p in peers(rule))}
    assert outside == {"cattery-gateway", "cattery-worker"}


def test_only_the_api_is_reached_from_anywhere_and_on_its_port_alone() -> None:
    assert said("api", "ingress") == [((), tcp(8080))]
    open_to_all = [policy for policy, rule in all_rules() if not peers(rule)]
    assert open_to_all == ["cattery-api"]
    assert said("worker", "ingress") == []


def test_the_ports_are_those_that_the_pods_listen_on() -> None:
    assert (Port.HARNESS, Port.FILES) == (HARNESS_PORT, FILE_MANAGER_PORT)


def test_every_pod_that_we_make_has_a_policy() -> None:
    named = {name_of(policy)[1] for policy in POLICIES}
    pods = (Component.SANDBOX, Component.FILE_MANAGER, Component.SKILL_MANAGER)
    assert {f"cattery-{component}" for component in pods} <= named


def test_an_allow_list_opens_sandboxes_and_nothing_else() -> None:
    site = Site(allowed=("203.0.113.0/24", "2606:4700::/32"), allowed_ports=(443, 22))
    opened = build_policies(site)
    added: JsonObject = {
        "to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}, {"ipBlock": {"cidr": "2606:4700::/32"}}],
        "ports": [{"protocol": "TCP", "port": 443}, {"protocol": "TCP", "port": 22}],
    }
    rules = as_list(of("sandbox", opened)["egress"])
    assert rules == [*as_list(of("sandbox")["egress"]), added]
    others = [policy for policy in opened if name_of(policy)[1] != "cattery-sandbox"]
    assert others == [policy for policy in POLICIES if name_of(policy)[1] != "cattery-sandbox"]


@pytest.mark.parametrize(
    "cidr",
    [
        *("0.0.0.0/0", "10.1.0.0/16", "172.16.5.0/24", "192.168.1.1", "192.168.0.0/15"),
        *("169.254.169.254/32", "100.100.0.0/16", "127.0.0.1", "224.0.0.1", "255.255.255.255"),
        *("::/0", "::1", "fc00::/7", "fd12::/48", "fe80::1", "ff02::1"),
        *("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::/48"),
    ],
)
def test_an_allow_list_takes_no_address_that_is_not_public(cidr: str) -> None:
    with pytest.raises(BadRequestError, match="private, local or multicast"):
        check_allowed(cidr)


@pytest.mark.parametrize("cidr", ["", "example.com", "203.0.113.5/24", "203.0.113.0/33", "1.2.3"])
def test_an_allow_list_takes_only_ranges(cidr: str) -> None:
    with pytest.raises(BadRequestError, match="no range of addresses"):
        check_allowed(cidr)


def test_the_command_prints_a_sites_policies(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--system", "s", "--sandboxes", "b", "--allow", "203.0.113.7", "--allow-port", "8443"])
    printed = list(yaml.safe_load_all(capsys.readouterr().out))
    assert printed == build_policies(Site("s", "b", ("203.0.113.7/32",), (8443,)))


def test_the_command_refuses_a_wrong_allow_list(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--allow", "10.0.0.0/8"])
    assert "Sandboxes cannot be let out to 10.0.0.0/8" in capsys.readouterr().err
