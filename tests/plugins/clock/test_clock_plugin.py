"""The clock plugin as the rest of the appliance sees it, on a clock that the test turns."""

from __future__ import annotations

from appliance.testing import running

NOWHERE = {"chrony_address": "127.0.0.1:1", "chrony_socket": ""}


async def test_local_serves_the_system_clock_as_it_is(tmp_path):
    config = {"plugins": {"clock": {"source": "local", "local_stratum": 7}}}
    async with running(["clock"], config, state_dir=tmp_path) as app:
        await app.until_running("clock")
        clock = await app.get("/api/v1/clock")
        assert clock["synchronised"] and clock["source"] == "local"
        assert (clock["stratum"], clock["leap"], clock["refid"]) == (7, 0, "7f7f0101")
        assert clock["root_delay_s"] == 0
        assert 0 < clock["root_dispersion_s"] < 0.001
        assert clock["verdict"].startswith("Synchronised, stratum 7")


async def test_without_any_source_it_says_what_to_do_and_never_claims_time(tmp_path):
    async with running(
        ["clock"], {"plugins": {"clock": {"source": "chrony", **NOWHERE}}}, state_dir=tmp_path
    ) as app:
        await app.until_running("clock")
        clock = await app.get("/api/v1/clock")
        assert not clock["synchronised"]
        assert (clock["leap"], clock["stratum"]) == (3, 0)
        assert "start chronyd" in clock["verdict"]
