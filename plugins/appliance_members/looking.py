"""What somebody is about to add, said back before anything is asked or changed: addresses of a host, rows of an import."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from appliance.api.errors import Invalid
from appliance_members import orders
from appliance_members.registrar import Registrar
from appliance_members.registry import Registry


async def addresses_of(host: str, registrar: Registrar) -> dict[str, Any]:
    """Every address of a host, and which of them are members already; nobody is asked for the time.

    Raises:
        Invalid: it can be no server, or the name cannot be looked up.
    """
    order = orders.order_of({"address": host})
    found: Iterable[str] = [order.address]
    if not order.address:
        try:
            found = await registrar.lookup(order.name)
        except OSError as error:
            raise Invalid(str(error), errors={"host": str(error)}) from None
    known = registrar.roster.registry.by_endpoint()
    return {
        "host": host,
        "addresses": [
            {
                "address": address,
                "port": order.port,
                "family": 6 if ":" in address else 4,
                "name": order.name,
                "member": known[address, order.port].id if (address, order.port) in known else None,
                "trusted": registrar.trusts(address),
            }
            for address in found
        ],
    }


def rows(wanted: Sequence[orders.Order], registry: Registry) -> list[dict[str, Any]]:
    """Orders as they were understood, each with the id of whoever holds its address already."""
    known = registry.by_endpoint()
    held = {place: entry.id for place, entry in known.items()}
    return [orders.told(order, held.get((order.address, order.port))) for order in wanted]
