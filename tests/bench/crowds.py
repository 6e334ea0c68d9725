"""Many streams at once: idle ones, and all that come back in the same moment."""

import asyncio
import time
from collections.abc import Sequence

from tests.bench.processor import cpu_of
from tests.bench.rig import Rig
from tests.bench.tables import judge, quantile
from tests.bench.watchers import Watcher

IDLE_STREAMS = 2_000
IDLE_SECONDS = 45
IDLE_KIB, IDLE_CORE = 40.0, 0.03
BACK_STREAMS = 500
BACK_EVENTS = 1_000
BACK_SECONDS = 5.0


async def measure_idle(rig: Rig, sessions: Sequence[str]) -> dict[str, float]:
    """Hold many silent streams open: what each takes of memory, and all of a core."""
    api = rig.apis[0]
    before = api.memory_info().rss
    heads = await _heads(rig, sessions)
    names = [sessions[number % len(sessions)] for number in range(IDLE_STREAMS)]
    watchers = [await _watch(rig, name, heads[name]) for name in names]
    await asyncio.sleep(5)
    kib = (api.memory_info().rss - before) / IDLE_STREAMS / 1024
    cpu, began = cpu_of(api, children=False), time.monotonic()
    pings = sum(watcher.seen.size for watcher in watchers)
    await asyncio.sleep(IDLE_SECONDS)
    core = (cpu_of(api, children=False) - cpu) / (time.monotonic() - began)
    heard = sum(watcher.seen.size for watcher in watchers) - pings
    assert heard > 0, "the streams are not alive"
    assert kib > 1, "the API had room from before: nothing was measured"
    for watcher in watchers:
        watcher.close()
    print(f"\n{IDLE_STREAMS} idle streams:")
    print(f"  {kib:.1f} KiB of the API a stream  {judge(kib, IDLE_KIB)}")
    print(f"  {core * 100:.1f} % of a core for all  {judge(core * 100, IDLE_CORE * 100)}")
    return {"kib_per_stream": kib, "core": core, "streams": IDLE_STREAMS}


async def measure_reconnect(rig: Rig, sessions: Sequence[str]) -> dict[str, float]:
    """Have many watchers come back at once, each a thousand events behind."""
    heads = await _heads(rig, sessions)
    long = [session for session in sessions if heads[session] > BACK_EVENTS]
    if not long:
        print(f"\nno session has {BACK_EVENTS} events: reconnecting was left out")
        return {}
    wanted = [long[number % len(long)] for number in range(BACK_STREAMS)]
    began = time.monotonic()
    caught_up: list[float] = []

    async def come_back(session: str) -> Watcher:
        watcher = await _watch(rig, session, heads[session] - BACK_EVENTS)
        while watcher.seen.last_id < heads[session]:
            await asyncio.sleep(0.005)
        caught_up.append(time.monotonic() - began)
        return watcher

    watchers = await asyncio.gather(*(come_back(session) for session in wanted))
    gaps = sum(watcher.seen.gaps for watcher in watchers)
    size = sum(watcher.seen.size for watcher in watchers)
    for watcher in watchers:
        watcher.close()
    assert gaps == 0, f"{gaps} numbers are missing"
    p50, last = quantile(caught_up, 0.5), max(caught_up)
    print(f"\n{BACK_STREAMS} watchers come back at once, {BACK_EVENTS} events behind each:")
    print(
        f"  half have caught up after {p50:.2f} s, all after {last:.2f} s  "
        f"{judge(last, BACK_SECONDS)}   {size / 2**20:.0f} MiB"
    )
    return {"p50_s": p50, "all_s": last, "watchers": BACK_STREAMS, "events": BACK_EVENTS}


async def _heads(rig: Rig, sessions: Sequence[str]) -> dict[str, int]:
    return {each: int((await rig.get(f"/sessions/{each}"))["last_seq"]) for each in sessions}


async def _watch(rig: Rig, session: str, after: int) -> Watcher:
    url = f"{rig.base_url}/api/v1/sessions/{session}/events?after={after}"
    return await Watcher.open(url, {"Authorization": f"Bearer {rig.token}"})
