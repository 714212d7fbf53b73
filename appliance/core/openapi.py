"""Describes the route table as OpenAPI 3.1."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from appliance.api.contrib import Route
    from appliance.core.routes import Mounted

#: Of the API, not of the product: within v1 things are only added.
API_VERSION = "1.0"

_PARAMETER = re.compile(r"\{(\w+)(?::[^{}]+)?\}")
_PROBLEM_KIND = "application/problem+json"
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string", "description": "page of the manual, on this box, that explains the code"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "for people"},
        "code": {"type": "string", "description": "stable word for programs"},
        "request_id": {"type": "string", "description": "the same as in X-Request-Id and in the log"},
        "errors": {
            "type": "array",
            "description": "one entry for each field that is at fault",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}

#: What any operation may answer besides: also a public one refuses a token that nobody knows, and heads that no operation sees.
_ALWAYS = (400, 401, 417, 421, 429, 431, 500, 503)
_HEADERS = {
    "XRequestId": {"description": "Names this request in the log", "schema": {"type": "string"}},
    "ETag": {"description": "Names the state that was read", "schema": {"type": "string"}},
    "RateLimit": {
        "description": "What is left of the allowance, and seconds until there is more",
        "schema": {"type": "string"},
    },
    "RetryAfter": {"description": "Seconds", "schema": {"type": "integer"}},
    "Link": {"description": "Other pages of the list (RFC 8288)", "schema": {"type": "string"}},
}
_KEPT_PARAMETERS = {
    "IfNoneMatch": {
        "name": "If-None-Match", "in": "header", "required": False, "schema": {"type": "string"},
        "description": "ETag of what you have; 304 when it is unchanged",
    },
    "IfMatch": {
        "name": "If-Match", "in": "header", "required": False, "schema": {"type": "string"},
        "description": "ETag of what you have seen; 412 when somebody changed it since",
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key", "in": "header", "required": False,
        "schema": {"type": "string", "minLength": 1, "maxLength": 200},
        "description": "Any word of your own: a request that is sent twice with it is done once, within a day",
    },
}  # fmt: skip
_SECURITY = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token of `timeball token create`"},
    "session": {
        "type": "apiKey", "in": "cookie", "name": "__Host-timeball",
        "description": "A browser that signed in; changes must come from the box's own pages",
    },
}  # fmt: skip


def document(routes: Sequence[Mounted]) -> dict[str, Any]:
    """The whole document for `routes`."""
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    paths: dict[str, dict[str, Any]] = {}
    with_get = {m.path for m in routes if m.route.method == "GET" and not m.route.stream}
    for mounted in sorted(routes, key=lambda m: (m.path, m.route.method)):
        path = _PARAMETER.sub(r"{\1}", mounted.path)
        paths.setdefault(path, {})[mounted.route.method.lower()] = _operation(mounted, schemas, with_get)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Timeball",
            "version": API_VERSION,
            "description": "The appliance's own operations. Fields carry their unit; times are epoch seconds.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in sorted({m.plugin for m in routes})],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": _HEADERS,
            "parameters": _KEPT_PARAMETERS,
            "responses": {
                f"Problem{status}": _problem(status)
                for status in sorted({*_ALWAYS, 403, 404, 405, 406, 408, 409, 412, 413, 415, 422})
            },
            "securitySchemes": _SECURITY,
        },
    }


def _operation(mounted: Mounted, schemas: dict[str, Any], with_get: set[str]) -> dict[str, Any]:
    route = mounted.route
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}{re.sub(r'[^A-Za-z0-9]+', '_', mounted.path)}".rstrip("_"),
        "summary": route.summary,
        "tags": [mounted.plugin],
        "x-scope": mounted.scope,
        **({"x-own": route.own} if route.own else {}),
        **({"x-confirm": route.confirm} if route.confirm else {}),
        "security": []
        if mounted.scope == "public"
        else [{"token": [mounted.scope]}, {"session": [mounted.scope]}],
        "parameters": _parameters(mounted, schemas, with_get),
        "responses": _responses(mounted, schemas),
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": bool(route.body.model_json_schema().get("required")),
            "content": {"application/json": {"schema": _schema_of(route.body, schemas)}},
        }
    return operation


def _parameters(mounted: Mounted, schemas: dict[str, Any], with_get: set[str]) -> list[dict[str, Any]]:
    route = mounted.route
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(mounted.path)
    ]
    if route.query is not None:
        schema = _hoist(route.query.model_json_schema(ref_template=_REF), schemas)
        found += [
            {
                "name": name, "in": "query", "required": name in schema.get("required", ()), "schema": _in_query(inner),
                **({"description": inner["description"]} if "description" in inner else {}),
            }
            for name, inner in schema.get("properties", {}).items()
        ]  # fmt: skip
    if route.method == "GET" and not route.stream:
        found.append({"$ref": "#/components/parameters/IfNoneMatch"})
    if route.method == "POST":
        found.append({"$ref": "#/components/parameters/IdempotencyKey"})
    if route.unsafe and mounted.path in with_get:
        found.append({"$ref": "#/components/parameters/IfMatch"})
    return found


def _in_query(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema as text in a query can fulfil it: there is no null; what is not said is left out."""
    found = dict(schema)
    if "anyOf" in found:
        kinds = [kind for kind in found.pop("anyOf") if kind.get("type") != "null"]
        found |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if found.get("default", ...) is None:
        del found["default"]
    return found


def _responses(mounted: Mounted, schemas: dict[str, Any]) -> dict[str, Any]:
    route = mounted.route
    headers: dict[str, Any] = {"X-Request-Id": {"$ref": "#/components/headers/XRequestId"}}
    if route.method == "GET" and not route.stream:
        headers["ETag"] = {"$ref": "#/components/headers/ETag"}
    asked = route.query.model_fields if route.query is not None else {}
    if "limit" in asked and ("before" in asked or "offset" in asked):
        headers["Link"] = {"$ref": "#/components/headers/Link"}
    done: dict[str, Any] = {"description": "Done", "headers": headers}
    if route.status != 204:
        done["content"] = _content(route, schemas)
    responses: dict[str, Any] = {str(status): done for status in (route.status, *route.also)}
    if route.method == "GET" and not route.stream:
        responses["304"] = {"description": "Unchanged since If-None-Match"}
    for status in sorted(_refusals(mounted)):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/Problem{status}"})
    return responses


def _refusals(mounted: Mounted) -> Iterable[int]:
    route = mounted.route
    found = {*_ALWAYS, *route.refuses}
    if mounted.scope != "public":
        found.add(403)
    if "{" in mounted.path:
        found |= {404, 422}
    if route.query is not None:
        found |= {404, 422}
    if route.unsafe:
        found |= {403, 404, 408, 409, 412, 413, 415, 422}
    return found


def _problem(status: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {_PROBLEM_KIND: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/XRequestId"}},
    }
    if status == 429:
        found["headers"] |= {
            "Retry-After": {"$ref": "#/components/headers/RetryAfter"},
            "RateLimit": {"$ref": "#/components/headers/RateLimit"},
        }
    return found


def _content(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = {} if route.returns is None else _schema_of(route.returns, schemas)
    return {kind: {"schema": schema if "json" in kind else {"type": "string"}} for kind in route.produces}


_REF = "#/components/schemas/{model}"


def _schema_of(model: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """A model by reference, a schema as it is."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        schemas[model.__name__] = _hoist(model.model_json_schema(ref_template=_REF), schemas)
        return {"$ref": _REF.format(model=model.__name__)}
    return dict(model)


def _hoist(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Move nested definitions to the document's components."""
    schemas.update(schema.pop("$defs", {}))
    return schema
