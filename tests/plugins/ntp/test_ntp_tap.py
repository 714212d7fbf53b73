"""A stranger's plugin that looks at packets, as the manual has it, beside the real time service."""

from __future__ import annotations

import importlib
import socket
import sys

from appliance.api.services import TimeSource
from appliance.testing import running, wait_until
from tests.support.attacks import client_request
from tests.support.ntp_service import Source, endpoint
from tests.test_manual import named_blocks

NTP = {"plugins": {"ntp": {"listen": ["127.0.0.1:0"]}}}


async def test_the_recipe_counts_one_packet_in_a_hundred(tmp_path, monkeypatch):
    named_blocks("plugins/recipes.md", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        recipe = importlib.import_module("portcount")
        provide = {TimeSource: Source()}
        async with running(["ntp", recipe], NTP, state_dir=tmp_path / "state", provide=provide) as app:
            await app.until_running("ntp", "portcount")
            where = await endpoint(app)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                for _ in range(200):
                    sock.sendto(client_request(), where)
                port = sock.getsockname()[1]
            expected = f"2 samples, 0 lost; most from port {port}"
            await wait_until(lambda: app.status("portcount").text == expected, expected)
    finally:
        sys.modules.pop("portcount", None)
