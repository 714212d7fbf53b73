"""Certificates are made by another process: the pages do not wait for it when they are to stop."""

from __future__ import annotations

from appliance.core.errands import errand
from appliance.testing import running
from appliance_web.tls import errand as certificates
from tests.core.test_errands import STAYS, begun, is_there
from tests.support.wait import wait_for


async def test_the_pages_stop_while_certificates_are_made(tmp_path, monkeypatch):
    def never(*_, order, patience_s):
        return errand("-c", STAYS, tmp_path / "pid", order=order, patience_s=patience_s)

    monkeypatch.setattr(certificates, "errand", never)
    config = "[plugins.web]\nlisten = '127.0.0.1:0'\nlisten_tls = '127.0.0.1:0'\n"
    async with running(["web"], config, state_dir=tmp_path / "state"):
        pid = await wait_for(lambda: begun(tmp_path / "pid"), "the process that makes certificates")
    assert not is_there(pid)
