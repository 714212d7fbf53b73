"""Long lists in pages: the Link header that leads from one to the next (RFC 8288)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

#: The largest id that a row of the database has: it takes no larger number.
LARGEST_ID = 2**63 - 1


def link(path: str, query: Mapping[str, str], **relations: Mapping[str, object] | None) -> dict[str, str]:
    """The header for other pages of the list at `path`.

    Args:
        path: of the list.
        query: as it was asked.
        relations: for each relation ("next", "prev", "first", "last") what differs in the query; None: there is no such page.
    """
    found = [
        f'<{path}?{urlencode({**query, **{k: str(v) for k, v in changed.items()}})}>; rel="{relation}"'
        for relation, changed in relations.items()
        if changed is not None
    ]
    return {"Link": ", ".join(found)} if found else {}


def offsets(
    path: str, query: Mapping[str, str], *, limit: int | None, offset: int, total: int
) -> dict[str, str]:
    """Headers of a list that is asked by limit and offset: X-Total-Count and Link."""
    count = {"X-Total-Count": str(total)}
    if limit is None:
        return count
    before = {"offset": max(offset - limit, 0)} if offset > 0 else None
    after = {"offset": offset + limit} if offset + limit < total else None
    first = {"offset": 0} if before or after else None
    return count | link(path, query, first=first, prev=before, next=after)
