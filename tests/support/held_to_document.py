"""Every answer that any test sees is held to the document: a reply that its route does not describe fails the test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel

from appliance.core.routes import Mounted, Reply, Request, RouteTable

#: Compiled once for each schema; the schemas live as long as the modules that they stand in.
_VALIDATORS: dict[int, tuple[object, Any]] = {}


@contextmanager
def watched() -> Iterator[list[str]]:
    """While it lasts, what does not fit is collected in the list."""
    complaints: list[str] = []
    call = RouteTable._call

    async def watching(table: RouteTable, request: Request, mounted: Mounted) -> Any:
        reply = await call(table, request, mounted)
        if isinstance(reply, Reply) and (why := breach(reply, mounted)):
            complaints.append(f"{mounted.id} answered {reply.status}: {why}")
        return reply

    RouteTable._call = watching  # type: ignore[method-assign]
    try:
        yield complaints
    finally:
        RouteTable._call = call  # type: ignore[method-assign]


def breach(reply: Reply, mounted: Mounted) -> str:
    """How a reply breaks what its route says of it; "" when it does not, or the route says nothing."""
    route = mounted.route
    if route.page or route.stream or reply.status >= 400:
        return ""
    if reply.status not in (route.status, *route.also):
        return f"the document knows {', '.join(map(str, (route.status, *route.also)))}"
    if route.returns is None or "json" not in reply.content_type:
        return ""
    import jsonschema_rs  # of the test tools alone, and only where something is answered

    key = id(route.returns)
    if key not in _VALIDATORS or _VALIDATORS[key][0] is not route.returns:
        schema = route.returns
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            schema = schema.model_json_schema()
        _VALIDATORS[key] = (route.returns, jsonschema_rs.validator_for(dict(schema)))
    value = json.loads(reply.body())
    for error in _VALIDATORS[key][1].iter_errors(value):
        return f"{'/'.join(map(str, error.instance_path)) or 'the whole'}: {error.message[:300]}"
    return ""
