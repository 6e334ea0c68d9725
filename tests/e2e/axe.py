"""axe-core in a page: what in it people with a screen reader or a keyboard would stumble over."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Page

_AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
_MOMENT = 0.5
_RUN = """
async () => {
  const tags = ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']
  const changes = document.getAnimations().filter((one) => one instanceof CSSTransition)
  await Promise.allSettled(changes.map((one) => one.finished))
  const { violations } = await axe.run(document, { runOnly: tags })
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, any }) => `${id}: ${html.slice(0, 160)} (${any[0]?.message ?? ''})`),
  )
}
"""


async def find_violations(page: Page) -> list[str]:
    """Return what axe finds in the page as it is shown, one line each.

    What it finds is looked at once more a moment later, and counts if it is still there: a list
    that is just being laid out hides its rows between two of axe's own looks.
    """
    if not _AXE.exists():
        pytest.fail("axe-core is not installed. Run `scripts/install.sh web-deps`.", pytrace=False)
    await page.evaluate(_AXE.read_text())
    first = [str(found) for found in await page.evaluate(_RUN)]
    if not first:
        return []
    await asyncio.sleep(_MOMENT)
    again = {str(found) for found in await page.evaluate(_RUN)}
    return [found for found in first if found in again]
