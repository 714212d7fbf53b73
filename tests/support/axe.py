"""Judges a page by axe-core against WCAG 2.2 AA, from a world of its own that the page's policy does not reach."""

from __future__ import annotations

import functools

from tests.support.browser import Tab
from tests.support.programs import npm_modules

#: Levels A and AA of all versions; best practices are opinions.
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
_RUN = """
axe.run(document, {{runOnly: {{type: 'tag', values: {tags}}}, resultTypes: ['violations'], preload: false}}).then((found) =>
  found.violations.flatMap((v) => v.nodes.map((n) => `${{v.id}}: ${{n.target.join(' ')}}: ${{n.failureSummary.replace(/\\s+/g, ' ').slice(0, 300)}}`)))
"""


@functools.cache
def _script() -> str:
    return (npm_modules("axe") / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


async def violations(tab: Tab) -> list[str]:
    """What is wrong with the page that is open, in words; each line names rule, element and remedy."""
    world = await tab.world("axe")
    await tab.evaluate(_script() + "; 0", world)
    found = await tab.evaluate(_RUN.format(tags=list(TAGS)), world)
    assert isinstance(found, list)
    return found
