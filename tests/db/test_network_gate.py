"""What the network enforces is found out once for all workers, and looked at again in time."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy.pool import QueuePool

from cattery.db.engine import Database
from cattery.db.site_facts import NETWORK, find_fact
from cattery.errors import SandboxError
from cattery.network_probe import Hope
from cattery.sandboxes.kubernetes.network_finding import GATEWAY, NetworkCheck, NetworkFinding
from cattery.sandboxes.port import Isolation
from cattery.settings import KubernetesSettings
from workers.network import BAD_FOR, GOOD_FOR, UNKNOWN_FOR, NetworkGate

SETTINGS = KubernetesSettings()


@dataclass
class Network:
    """A network as a check finds it, and how often it was looked at."""

    closed: bool = True
    gateway: bool = True
    failure: str = ""
    checks: int = 0

    async def check(self) -> NetworkFinding:
        self.checks += 1
        await asyncio.sleep(0.1)
        if self.failure:
            raise SandboxError(self.failure)
        internet, gateway = (
            Hope.CLOSED if self.closed else Hope.OPEN,
            Hope.OPEN if self.gateway else Hope.CLOSED,
        )
        return NetworkFinding(
            (
                NetworkCheck("the Internet", "1.1.1.1:443", Hope.CLOSED, internet),
                NetworkCheck(GATEWAY, "10.0.0.1:8081", Hope.OPEN, gateway, "refused"),
            )
        )


def grow_old(url: str, age: timedelta) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE site_fact SET found_at = found_at - %s", [age])


async def test_of_many_workers_one_checks(database: Database) -> None:
    network = Network()
    gates = [NetworkGate(database, network.check, SETTINGS) for _ in range(5)]
    found = await asyncio.gather(*(gate() for gate in gates))
    assert network.checks == 1
    assert set(found) == {
        Isolation(
            True,
            "The cluster enforces its network policies: a sandbox reached nothing that it must not "
            "(1 tried).",
        )
    }
    async with database.read() as session:
        fact = await find_fact(session, NETWORK)
    assert fact is not None
    assert (fact.value["enforced"], fact.value["well"], fact.value["namespace"]) == (
        True,
        True,
        "cattery-sandboxes",
    )


@pytest.mark.parametrize(
    ("network", "lasts"),
    [
        (Network(), GOOD_FOR),
        (Network(closed=False), BAD_FOR),
        (Network(gateway=False), BAD_FOR),
        (Network(failure="The quota is used up."), UNKNOWN_FOR),
    ],
    ids=["good", "not enforced", "no gateway", "unknown"],
)
async def test_a_finding_lasts_for_as_long_as_nobody_has_to_act_on_it(
    database: Database, database_url: str, network: Network, lasts: timedelta
) -> None:
    gate = NetworkGate(database, network.check, SETTINGS)
    first = await gate()
    assert first.confined is (network.closed and not network.failure)
    grow_old(database_url, lasts - timedelta(seconds=5))
    assert await gate() == first
    assert network.checks == 1
    grow_old(database_url, timedelta(seconds=6))
    assert await gate() == first
    assert network.checks == 2


async def test_a_check_that_could_not_be_made_says_why(database: Database) -> None:
    network = Network(failure="The image cattery-filemgr:9 was not found.")
    assert await NetworkGate(database, network.check, SETTINGS)() == Isolation(
        False,
        "What the cluster's network enforces could not be checked: The image cattery-filemgr:9 was "
        "not found.",
        known=False,
    )


async def test_what_is_allowed_all_the_same_is_said_and_looked_at_anew(database: Database) -> None:
    network = Network(closed=False)
    plain = await NetworkGate(database, network.check, SETTINGS)()
    allowing = KubernetesSettings(allow_unenforced_network=True)
    allowed = await NetworkGate(database, network.check, allowing)()
    assert network.checks == 2
    assert not allowed.confined
    assert allowed.summary == plain.summary + (
        " Sandboxes start all the same: CATTERY_K8S_ALLOW_UNENFORCED_NETWORK is true."
    )


async def test_a_worker_that_dies_while_it_checks_leaves_the_check_to_the_next(
    database: Database,
) -> None:
    network = Network()
    dying = asyncio.create_task(NetworkGate(database, network.check, SETTINGS)())
    while not network.checks:
        await asyncio.sleep(0.01)
    next_one = asyncio.create_task(NetworkGate(database, network.check, SETTINGS)())
    await asyncio.sleep(0.02)
    dying.cancel()
    assert (await next_one).confined
    assert network.checks == 2


async def test_it_is_found_out_before_anybody_asks(database: Database) -> None:
    network = Network()
    gate = NetworkGate(database, network.check, SETTINGS)
    async with gate.keeping():
        async with asyncio.timeout(5):
            while not network.checks:
                await asyncio.sleep(0.01)
        assert (await gate()).confined
    assert network.checks == 1


async def test_many_starts_of_one_worker_hold_one_connection(database: Database) -> None:
    network = Network()
    held: list[int] = []

    async def check() -> NetworkFinding:
        await asyncio.sleep(0.2)
        pool = database.engine.pool
        assert isinstance(pool, QueuePool)
        held.append(pool.checkedout())
        return await network.check()

    gate = NetworkGate(database, check, SETTINGS)
    await asyncio.gather(*(gate() for _ in range(50)))
    assert held == [1]
