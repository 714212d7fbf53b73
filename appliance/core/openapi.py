"""Describes the route table as OpenAPI 3.1."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from appliance.api.contrib import Route
    from appliance.core.routes import Mounted

_PARAMETER = re.compile(r"\{(\w+)(?::[^{}]+)?\}")

_PROBLEM = {
    "type": "object",
    "required": ["status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


def document(routes: Sequence[Mounted], version: str) -> dict[str, Any]:
    """The whole document for `routes`."""
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    paths: dict[str, dict[str, Any]] = {}
    for mounted in sorted(routes, key=lambda m: (m.path, m.route.method)):
        path = _PARAMETER.sub(r"{\1}", mounted.path)
        paths.setdefault(path, {})[mounted.route.method.lower()] = _operation(mounted, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Timeball",
            "version": version or "0",
            "description": "The appliance's own operations.",
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(mounted: Mounted, schemas: dict[str, Any]) -> dict[str, Any]:
    route = mounted.route
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(mounted.path)
    ]
    if route.query is not None:
        schema = _hoist(route.query.model_json_schema(ref_template="#/components/schemas/{model}"), schemas)
        parameters += [
            {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": inner}
            for name, inner in schema.get("properties", {}).items()
        ]
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}{re.sub(r'[^A-Za-z0-9]+', '_', mounted.path)}".rstrip("_"),
        "summary": route.summary,
        "tags": [mounted.plugin],
        "x-scope": mounted.scope,
        "parameters": parameters,
        "responses": {
            "200": {"description": "Done", "content": _content(route, schemas)},
            "default": {
                "description": "Refused or failed; says why",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": bool(route.body.model_json_schema().get("required")),
            "content": {"application/json": {"schema": _schema_of(route.body, schemas)}},
        }
    return operation


def _content(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = {} if route.returns is None else _schema_of(route.returns, schemas)
    return {kind: {"schema": schema} for kind in route.produces}


def _schema_of(model: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        return _hoist(model.model_json_schema(ref_template="#/components/schemas/{model}"), schemas)
    return dict(model)


def _hoist(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Move nested definitions to the document's components."""
    schemas.update(schema.pop("$defs", {}))
    return schema
