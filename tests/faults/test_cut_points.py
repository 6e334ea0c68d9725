"""A worker that is killed after any of its calls leaves nothing behind and loses nothing.

`CATTERY_FAULT_SEED` repeats the choice of a run; CONTRIBUTING.md says how to repeat one cut alone.
"""

import os
import secrets
from pathlib import Path

import pytest

from tests.faults.campaign import Campaign
from tests.faults.lifecycles import LIFECYCLES
from tests.faults.report import REPORT, write_report
from tests.faults.rig import SITES, open_lanes

LANES = int(os.environ.get("CATTERY_FAULT_LANES", "6"))
"""Cuts at once, of each site. They mostly wait for time-outs."""
ROOM = 7
"""Cuts of each lifecycle at each site."""
LEAST = 150
SEED = int(os.environ.get("CATTERY_FAULT_SEED") or secrets.randbelow(10_000))


@pytest.mark.slow
@pytest.mark.timeout(1_500)
async def test_every_lifecycle_survives_every_cut(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    async with open_lanes(tmp_path, SITES, LANES) as lanes:
        campaign = Campaign(lanes, SEED, ROOM)
        try:
            await campaign.run(LIFECYCLES)
        finally:
            pytestconfig.stash[REPORT] = write_report(campaign)
    assert not campaign.wrong, "The summary at the end says what, without any cut."
    failed = [each.cut.call for each in campaign.outcomes if each.left]
    assert not failed, "The summary at the end says what was left, and how to repeat one."
    survived = sum(each.survived for each in campaign.outcomes)
    assert survived >= LEAST, f"only {survived} cuts were tried"
