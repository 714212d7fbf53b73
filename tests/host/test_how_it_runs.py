"""Doctor, API and page say which data plane answers, why, as whom the process runs, and what would be better."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from click.testing import CliRunner

from appliance.cli import build
from appliance.commands.start import asked_for
from appliance.dataplane import BOUNDARY, choose
from appliance.dataplane.native import NativePlane
from appliance.dataplane.reference import PythonPlane
from appliance.dataplane.sandbox import Sandbox
from appliance.host import how_it_runs as module
from appliance.host import privileges
from appliance.host.how_it_runs import how_it_runs
from appliance.host.privileges import Rights
from appliance.testing import running
from appliance_web.views.plugins import host_facts

DIRECTLY = Rights("timeball", root=False, capabilities=("net_bind_service",), no_new_privileges=True)


def told(monkeypatch: Any, plane: Any, rights: Rights = DIRECTLY) -> dict[str, Any]:
    monkeypatch.setattr(module.privileges, "own_rights", lambda: rights)
    return how_it_runs(plane)


def test_a_good_installation_gets_no_advice(monkeypatch) -> None:
    found = told(monkeypatch, NativePlane("it is built", workers=2))
    assert found["advice"] == []
    assert found["plane"] == {
        "name": "native", "why": "it is built", "workers": 2, "faster": "", "sandbox": {"on": True, "why": ""},
    }  # fmt: skip
    assert found["process"] == {
        "user": "timeball", "root": False, "capabilities": ["net_bind_service"], "no_new_privileges": True,
    }  # fmt: skip


def test_root_the_slow_plane_and_an_open_sandbox_are_told_with_their_remedies(monkeypatch) -> None:
    root = Rights("root", root=True, capabilities=("all",), no_new_privileges=False)
    slow = told(monkeypatch, PythonPlane(faster="run make native"), root)
    assert [one["remedy"] for one in slow["advice"]] == [privileges.ADVICE, "run make native"]
    off = told(monkeypatch, NativePlane(confined=False))
    assert "sandbox = true" in off["advice"][0]["remedy"]
    lacking = NativePlane()
    lacking.sandbox = Sandbox(on=False, why="the kernel does not filter system calls")
    assert "does not filter" in told(monkeypatch, lacking)["advice"][0]["text"]


def test_what_would_be_faster_is_said_by_the_choice_of_the_plane(monkeypatch) -> None:
    monkeypatch.setattr("appliance.dataplane._why_not_native", lambda: "it is not built")
    monkeypatch.delenv("APPLIANCE_NATIVE", raising=False)
    assert "make native" in choose("auto").faster
    assert "make native" in choose("python").faster
    monkeypatch.setattr("appliance.dataplane._why_not_native", lambda: None)
    assert 'dataplane = "auto"' in choose("python").faster


def test_a_plane_that_was_built_from_other_sources_is_left_alone(monkeypatch, tmp_path) -> None:
    native = pytest.importorskip("appliance.dataplane._native", reason="the native plane is not built")
    assert native.__boundary__ == BOUNDARY.read_text()
    newer = tmp_path / "_native.pyi"
    newer.write_text(native.__boundary__ + "def added() -> None: ...\n")
    monkeypatch.setattr("appliance.dataplane.BOUNDARY", newer)
    monkeypatch.delenv("APPLIANCE_NATIVE", raising=False)
    chosen = choose("auto")
    assert chosen.name == "python"
    assert "other sources" in chosen.why
    with pytest.raises(ValueError, match=r"other sources.*make native"):
        choose("native")


async def test_doctor_api_and_page_say_it(tmp_path) -> None:
    async with running([], state_dir=tmp_path, admin_socket=True) as app:
        status = await app.get("/api/v1/status")
        assert status["plane"]["name"] == "python"
        facts = dict(host_facts(status))
        assert facts["Data plane"] == "python: asked for"
        assert facts["Runs as"].startswith(status["process"]["user"])
        where = ("--state-dir", str(tmp_path))
        done = await asyncio.to_thread(CliRunner().invoke, build(), ["doctor", *where])
        assert "data plane  python, because asked for; 1 thread for each address; sandbox off" in done.output
        assert f"runs as     {status['process']['user']}" in done.output
        for advice in status["advice"]:
            assert advice["remedy"] in done.output
        done = await asyncio.to_thread(CliRunner().invoke, build(), ["doctor", "--json", *where])
        told = json.loads(done.output)
        assert told["plane"] == status["plane"]
        advised = {
            check["level"]
            for check in told["checks"]
            if check["id"] in ("box.privileges.root", "host.data-plane")
        }
        assert advised <= {"ok", "info"}, "advice alone is no illness"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ([], "usual:1"),
        (["plugins.web.listen=127.0.0.1:8181"], "127.0.0.1:8181"),
        (['plugins.web.listen="[::1]:80"', "x=1"], "[::1]:80"),
        (['plugins.web.listen=["0.0.0.0:5", "[::]:5"]'], "0.0.0.0:5"),
        (["plugins.web.listen=127.0.0.1:1", "plugins.web.listen=127.0.0.1:2"], "127.0.0.1:2"),
        (["plugins.web.listen=nonsense"], "usual:1"),
    ],
)
def test_the_demo_says_where_it_listens_when_that_was_asked_for_otherwise(
    said: list[str], shown: str
) -> None:
    assert asked_for(said, "plugins.web.listen", "usual:1") == shown
