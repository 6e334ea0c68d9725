"""axe-core in a page: what in it people with a screen reader or a keyboard would stumble over."""

from pathlib import Path

import pytest
from playwright.async_api import Page

_AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
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
    """Return what axe finds in the page as it is shown, one line each."""
    if not _AXE.exists():
        pytest.fail("axe-core is not installed. Run `scripts/install.sh web-deps`.", pytrace=False)
    await page.evaluate(_AXE.read_text())
    return [str(found) for found in await page.evaluate(_RUN)]
