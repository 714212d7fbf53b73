"""The bill of materials as CycloneDX 1.6 JSON (ECMA-424): Debian's packages and Python's distributions."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Sequence
from typing import Any

from images.builder.papers.contents import Component
from images.builder.spec import Spec
from images.builder.system import Release


def cyclonedx(spec: Spec, release: Release, components: Sequence[Component]) -> str:
    """The document; the same for the same image."""
    name = f"{spec.id} {release.version} {release.build}"
    at = dt.datetime.fromtimestamp(release.built, dt.UTC)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, name)}",
        "version": 1,
        "metadata": {
            "timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "operating-system",
                "bom-ref": spec.id,
                "name": spec.id,
                "version": release.version,
                "properties": [
                    {"name": "timeball:commit", "value": release.commit},
                    {"name": "timeball:build", "value": release.build},
                ],
            },
        },
        "components": [_component(each) for each in components],
    }
    return json.dumps(document, indent=1) + "\n"


def _component(each: Component) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "library",
        "bom-ref": each.purl,
        "name": each.name,
        "version": each.version,
        "purl": each.purl,
    }
    if each.licence:
        made["licenses"] = [{"license": {"name": each.licence}}]
    if each.source:
        made["properties"] = [{"name": "debian:source", "value": each.source}]
    return made
