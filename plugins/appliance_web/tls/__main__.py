"""`python -m appliance_web.tls`: makes what is missing or due among the certificates of a box, in a process of its own.

Standard input is an order as JSON. The library that makes certificates so never comes into the appliance's process.
"""

from __future__ import annotations

import ipaddress
import logging
import sys
from pathlib import Path

from pydantic import BaseModel

from appliance_web.tls.keeper import Keeper
from appliance_web.tls.names import Names


class Order(BaseModel):
    """Where the certificates are, what the box is called, and what time it is, and whether that is known."""

    folder: Path
    dns: list[str]
    interfaces: list[str]
    now_s: float
    sure: bool = True


def main() -> int:
    """Exit code 0 when everything is in order and on the disk; what was made is told on standard error, a line each."""
    order = Order.model_validate_json(sys.stdin.buffer.read())
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    names = Names(tuple(order.dns), tuple(map(ipaddress.ip_interface, order.interfaces)))
    keeper = Keeper(order.folder, lambda: names, lambda: order.now_s, lambda: order.sure)
    keeper.refresh()
    return 0 if keeper.quiet() else 1


if __name__ == "__main__":
    sys.exit(main())
