"""Page, operations and commands of updates, with the agent's real actions on a folder that plays a box."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
from click.testing import CliRunner

from appliance.api.actor import acting
from appliance.api.agent import Agent, Ran
from appliance.cli import build
from appliance.core.routes import Request
from appliance.testing import running, wait_until
from appliance_updates import agent_actions, here, record, service, verity
from appliance_updates.agent_actions import ACTIONS
from appliance_updates.facts import Release
from appliance_updates.record import Event
from appliance_updates.service import Updates
from appliance_updates.uploads import NoRoom, Uploads
from tests.plugins.updates.a_box import NEW, OLD, Box, rauc_info
from tests.plugins.updates.playing import busctl
from tests.plugins.web.visiting import signed_in_as, visited

B = "/api/v1/updates"
CONFIG = '[plugins.updates]\nfolders = ["/srv"]\n'
OURS = {"Sec-Fetch-Site": "same-origin"}


class Doing:
    """The agent, without a socket: its actions, one at a time."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.asked: list[str] = []
        self.hold: asyncio.Event | None = None

    async def do(self, action, arguments=None, *, progress=None, timeout_s=60.0):
        self.asked.append(action)
        if action == "power.restart":
            return {"asked": "reboot"}
        found = next(a for a in ACTIONS if a.name == action)
        if self.hold is not None and action == "updates.install":
            progress({"done": 0.4, "doing": "Copying"})
            await self.hold.wait()
        return dict(found.run(self.box.call, found.arguments.model_validate(arguments or {})))


@pytest.fixture
def box(tmp_path, monkeypatch):
    (tmp_path / "root").mkdir()
    made = Box(tmp_path / "root")
    made.programs.answers["rauc"] = lambda *_: Ran(0, rauc_info())
    made.programs.answers["busctl"] = busctl(made)
    (made.root / "srv").mkdir()
    (made.root / "srv/new.raucb").write_bytes(b"x" * 1000)
    image = here.image(made.root)
    monkeypatch.setattr(here, "image", lambda root=None: here_image(root, image))
    monkeypatch.setattr(verity, "check", lambda *_: None)
    monkeypatch.setattr(agent_actions.rauc, "_POLL_S", 0.001)
    monkeypatch.setattr(service, "FRESH_S", 0.0)
    # The agent sees the folder as its root; files that were uploaded lie outside of it.
    monkeypatch.setattr(agent_actions, "_plain_file", lambda path: path)
    return made


def here_image(root, image):
    return image


@asynccontextmanager
async def appliance(tmp_path, box):
    agent = Doing(box)
    config = CONFIG
    async with visited(
        tmp_path / "state", plugins=("web", "updates"), config=config, provide={Agent: agent}
    ) as visitor:
        yield visitor, agent


@pytest.fixture
def owner(monkeypatch):
    signed_in_as(monkeypatch, "owner")


async def until_done(app):
    job = app.service(Updates)
    await wait_until(lambda: job.job.state != "running", "the installation to end")
    return job.job


async def test_from_a_file_in_a_folder_to_a_restart(tmp_path, box):
    async with appliance(tmp_path, box) as (visitor, agent):
        app = visitor.app
        told = await app.get(f"{B}/candidates")
        assert told == {
            "found": [{"file": "/srv/new.raucb", "name": "new.raucb", "bytes": 1000, "where": "/srv"}],
            "wrong": [],
        }
        checked = await app.post(f"{B}/check", {"file": "/srv/new.raucb"})
        assert (checked["refusals"], checked["bundle"]["version"]) == ([], "1.1.0")
        begun = await app.ask("POST", f"{B}/install", body={"file": "/srv/new.raucb"})
        assert begun.status == 202
        job = await until_done(app)
        assert (job.state, job.result["slot"]) == ("done", "B")
        status = await app.get(B)
        assert status["pending"]["stage"] == "written"
        page = await app.get("/updates")
        assert "1.1.0 is installed and waits for a restart" in page
        assert "Restart now" in page
        await app.post(f"{B}/restart", {})
        assert agent.asked[-1] == "power.restart"


async def test_what_is_refused_is_refused_in_words_and_nothing_is_begun(tmp_path, box):
    box.programs.answers["rauc"] = lambda *_: Ran(0, rauc_info(Release("0.9.5", 1)))
    async with appliance(tmp_path, box) as (visitor, agent):
        reply = await visitor.app.ask("POST", f"{B}/install", body={"file": "/srv/new.raucb"})
        assert reply.status == 422
        assert "it is version 0.9.5, and 1.0.0 runs here" in reply.value["detail"]
        assert "updates.install" not in agent.asked
        box.programs.answers["rauc"] = lambda *_: Ran(
            1, "signature verification failed: self-signed certificate"
        )
        reply = await visitor.app.ask("POST", f"{B}/check", body={"file": "/srv/new.raucb"})
        assert (reply.status, reply.value["code"]) == (422, "refused_bundle")
        assert "it is not signed by a key that this image trusts" in reply.value["detail"]


async def test_one_installation_at_a_time_and_it_says_how_far_it_is(tmp_path, box):
    async with appliance(tmp_path, box) as (visitor, agent):
        app = visitor.app
        agent.hold = asyncio.Event()
        await app.ask("POST", f"{B}/install", body={"file": "/srv/new.raucb"})
        await wait_until(lambda: app.service(Updates).job.share > 0, "the first progress")
        assert (await app.get(B))["job"] | {"result": 0} == {
            "state": "running", "name": "new.raucb", "doing": "Copying", "share": 0.4, "error": "", "remedy": "", "result": 0,
        }  # fmt: skip
        assert "<progress" in await app.get("/updates")
        again = await app.ask("POST", f"{B}/install", body={"file": "/srv/new.raucb"})
        assert (again.status, again.value["code"]) == (409, "conflict")
        back = await app.ask("POST", f"{B}/back", body={})
        assert back.status == 409
        agent.hold.set()
        assert (await until_done(app)).state == "done"


async def test_only_who_has_a_shell_here_names_any_file(tmp_path, box):
    async with appliance(tmp_path, box) as (visitor, _):
        reply = await visitor.app.ask("POST", f"{B}/check", body={"file": "/etc/shadow.raucb"}, role="admin")
        assert reply.status == 422
        for file in ("/srv/../etc/x.raucb", "/srv/new.raucb/.."):
            assert (
                await visitor.app.ask("POST", f"{B}/check", body={"file": file}, role="admin")
            ).status == 422
        assert (
            await visitor.app.ask("POST", f"{B}/check", body={"file": "/srv/new.raucb"}, role="admin")
        ).status == 200


async def test_who_may_what(tmp_path, box):
    async with appliance(tmp_path, box) as (visitor, _):
        app = visitor.app
        assert (await app.ask("GET", B, role="viewer")).status == 200
        assert (
            await app.ask("POST", f"{B}/check", body={"file": "/srv/new.raucb"}, role="viewer")
        ).status == 403
        assert (
            await app.ask("POST", f"{B}/check", body={"file": "/srv/new.raucb"}, role="operator")
        ).status == 200
        for path in ("install", "back", "restart", "uploads"):
            assert (await app.ask("POST", f"{B}/{path}", body={}, role="operator")).status == 403
        page = (await app.ask("GET", "/updates", role="viewer")).body().decode()
        assert "A bundle from your computer" not in page
        assert "1.0.0 runs and is marked good" in page
        assert (await app.ask("GET", "/updates", role="public")).status == 403


async def test_a_fall_back_is_told_on_the_page_by_the_doctor_and_the_command_until_it_was_read(tmp_path, box):
    found = record.load(box.root)
    why = ["Kernel panic - not syncing: <script>", "3 of 3 starts were used"]
    found.add(Event("fell-back", 1.0, OLD, NEW, why, ["<b>line</b>"]))
    record.save(box.root, found)
    async with appliance(tmp_path, box) as (visitor, _):
        app = visitor.app
        page = await app.get("/updates")
        assert "The update to 1.1.0 failed, and 1.0.0 came back" in page
        assert "Kernel panic - not syncing: &lt;script&gt;" in page
        assert "&lt;b&gt;line&lt;/b&gt;" in page
        checks = (await app.get("/api/v1/doctor"))["checks"]
        (one,) = [c for c in checks if c["id"] == "updates.last-update.fell-back"]
        assert one["text"].startswith("The update to 1.1.0 failed, and 1.0.0 came back: Kernel panic")
        assert "<b>line</b>" in one["evidence"]
        status = await app.get(B)
        from appliance_updates.cli import _print_status

        said = CliRunner().invoke(_command(_print_status, status)).output
        assert "Why it came back:\n  Kernel panic" in said
        await app.post(f"{B}/seen", {})
        assert "1.0.0 runs and is marked good" in await app.get("/updates")
        assert not [
            c
            for c in (await app.get("/api/v1/doctor"))["checks"]
            if c["id"].startswith("updates.") and c["level"] != "ok"
        ]


def _command(printer, value):
    import click

    return click.Command("x", callback=lambda: printer(value))


async def test_cards_and_checks_do_not_keep_the_agent_awake(tmp_path, box, monkeypatch):
    monkeypatch.setattr(service, "FRESH_S", 300.0)
    async with appliance(tmp_path, box) as (visitor, agent):
        for _ in range(3):
            await visitor.app.get("/health")
            await visitor.app.get("/")
        assert agent.asked.count("updates.status") == 1
        await visitor.app.get("/updates")
        assert agent.asked.count("updates.status") == 2


async def test_on_a_plain_debian_the_page_names_apt_and_operations_say_what_they_are_for(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(here, "image", lambda root=None: None)
    async with visited(tmp_path, plugins=("web", "updates")) as visitor:
        page = await visitor.app.get("/updates")
        assert "sudo apt update &amp;&amp; sudo apt upgrade" in page
        assert (await visitor.app.get(B))["image"] is False
        reply = await visitor.app.ask("POST", f"{B}/back", body={})
        assert (reply.status, reply.value["code"]) == (409, "not_an_image")
        checks = (await visitor.app.get("/api/v1/doctor"))["checks"]
        assert [c["level"] for c in checks if c["id"].startswith("updates.")] == ["ok"]


async def test_without_an_agent_it_says_what_is_missing(tmp_path, box):
    async with visited(tmp_path / "s", plugins=("web", "updates")) as visitor:
        page = await visitor.app.get("/updates")
        assert "The slots cannot be looked at" in page
        assert "The plugin box does not run" in page


# -- uploads -----------------------------------------------------------------------------------------------------------


async def test_a_bundle_comes_in_pieces_and_is_installed(tmp_path, box, owner):
    content = bytes(range(256)) * 40
    async with appliance(tmp_path, box) as (visitor, _):
        base, session = visitor.base, visitor.session
        async with session.post(
            f"{base}{B}/uploads", json={"name": "C:\\x\\new.raucb", "bytes": len(content)}, headers=OURS
        ) as r:
            assert r.status == 201, await r.text()
            key = (await r.json())["id"]
        for at in range(0, len(content), 4096):
            piece = content[at : at + 4096]
            headers = {**OURS, "Content-Type": "application/octet-stream"}
            async with session.put(f"{base}{B}/uploads/{key}?offset={at}", data=piece, headers=headers) as r:
                assert r.status == 200, await r.text()
                told = await r.json()
        assert told["complete"]
        updates = visitor.app.service(Updates)
        assert updates.uploads.path(updates.uploads.find(key)).read_bytes() == content
        found = (await visitor.app.get(f"{B}/candidates"))["found"]
        assert [one["file"] for one in found if one["where"] == "uploaded"] == [f"upload:{key}"]
        await visitor.app.ask("POST", f"{B}/install", body={"file": f"upload:{key}"})
        assert (await until_done(visitor.app)).name == "new.raucb"
        await visitor.app.ask("DELETE", f"{B}/uploads/{key}")
        assert await visitor.app.get(f"{B}/uploads") == []


async def test_a_browser_without_scripts_sends_it_in_one_form_that_is_never_in_memory(
    tmp_path, box, owner, monkeypatch
):
    monkeypatch.setattr("appliance_updates.pages.PIECE_BYTES", 100_000)
    content = b"raucb" * 200_000
    async with appliance(tmp_path, box) as (visitor, _):
        form = aiohttp.FormData()
        form.add_field("bundle", content, filename="new.raucb", content_type="application/octet-stream")
        async with visitor.session.post(
            f"{visitor.base}/updates/upload", data=form, headers=OURS, allow_redirects=False
        ) as reply:
            assert (reply.status, reply.headers.get("Location")) == (303, "/updates"), await reply.text()
        updates = visitor.app.service(Updates)
        (upload,) = updates.uploads.all()
        assert (upload.name, upload.complete) == ("new.raucb", True)
        assert updates.uploads.path(upload).read_bytes() == content


@pytest.mark.parametrize(
    ("name", "content"), [("virus.exe", b"x"), ("new.raucb", b""), ("../../etc/x", b"x"), ("", b"x")]
)
async def test_a_form_with_something_else_is_refused_and_leaves_nothing(tmp_path, box, owner, name, content):
    async with appliance(tmp_path, box) as (visitor, _):
        form = aiohttp.FormData()
        form.add_field("bundle", content, filename=name, content_type="application/octet-stream")
        async with visitor.session.post(f"{visitor.base}/updates/upload", data=form, headers=OURS) as reply:
            assert reply.status == 422, await reply.text()
        assert visitor.app.service(Updates).uploads.all() == []


async def test_a_stranger_sends_no_bundle(tmp_path, box, monkeypatch):
    signed_in_as(monkeypatch, "viewer")
    async with appliance(tmp_path, box) as (visitor, _):
        form = aiohttp.FormData()
        form.add_field("bundle", b"x" * 100_000, filename="new.raucb")
        async with visitor.session.post(f"{visitor.base}/updates/upload", data=form, headers=OURS) as reply:
            assert reply.status == 403
        async with visitor.session.post(
            f"{visitor.base}/updates/upload", data=b"x", headers={"Origin": "http://else"}
        ) as reply:
            assert reply.status == 403
        assert visitor.app.service(Updates).uploads.all() == []


def test_room_is_looked_for_first_and_what_is_on_its_way_counts(tmp_path):
    uploads = Uploads(tmp_path / "u", lambda: 1.0, lambda path: 164_000_000)
    uploads.begin("a.raucb", 60_000_000)
    with pytest.raises(NoRoom, match="there is room for 40 MB"):
        uploads.begin("b.raucb", 50_000_000)


def test_pieces_go_where_they_belong(tmp_path):
    from appliance.api.errors import Conflict

    uploads = Uploads(tmp_path / "u", lambda: 1.0)
    upload = uploads.begin("a.raucb", 10)
    uploads.add(upload.id, 0, b"12345")
    for offset, piece in ((0, b"x"), (6, b"x"), (5, b"123456")):
        with pytest.raises(Conflict, match="go on with offset=5"):
            uploads.add(upload.id, offset, piece)
    assert uploads.add(upload.id, 5, b"67890").complete


def test_old_uploads_and_orphans_go(tmp_path):
    now = [0.0]
    uploads = Uploads(tmp_path / "u", lambda: now[0])
    old = uploads.begin("a.raucb", 10)
    (tmp_path / "u/orphan.raucb").touch()
    now[0] = 100.0
    young = uploads.begin("b.raucb", 10)
    uploads.expire(50)
    assert [one.id for one in uploads.all()] == [young.id]
    assert sorted(p.name for p in (tmp_path / "u").iterdir()) == [f"{young.id}.json", f"{young.id}.raucb"]
    assert old.id != young.id


# -- commands ----------------------------------------------------------------------------------------------------------


async def test_the_commands_do_the_same(tmp_path, box):
    state = tmp_path / "s"  # a socket's path is short
    async with running(["updates"], CONFIG, state_dir=state, provide={Agent: Doing(box)}, admin_socket=True):

        async def run(*words):
            done = await asyncio.to_thread(
                CliRunner().invoke, build(), ["--state-dir", str(state), "update", *words]
            )
            return done.exit_code, done.output

        assert (await run("status"))[1].startswith("1.0.0 runs and is marked good.\n\nslot  release  state\n")
        assert "/srv" in (await run("check"))[1]
        code, said = await run("check", "/srv/new.raucb")
        assert (code, "it can be installed" in said, "## 1.1.0" in said) == (0, True, True)
        code, said = await run("install", "/srv/new.raucb")
        assert (code, "1.1.0 is in slot B and starts when the box restarts" in said) == (0, True), said
        assert (await run("stay"))[1] == "slot A goes on\n"
        box.programs.answers["rauc"] = lambda *_: Ran(0, rauc_info(OLD))
        code, said = await run("check", "/srv/new.raucb")
        assert (code, "it cannot be installed: 1.0.0 is what runs here already" in said) == (1, True)
        code, said = await run("install", "/srv/new.raucb")
        assert (code, "1.0.0 is what runs here already" in said) == (1, True)
        code, said = await run("rollback")
        assert (code, "is not marked good" in said) == (6, True)
        code, said = await run("rollback", "--unproved")
        assert (
            code,
            "1.1.0 in slot B starts when the box restarts, with the data that is there" in said,
        ) == (0, True)
        assert (await run("restart"))[1] == "the box restarts\n"


def test_the_agent_knows_these_actions():
    from appliance_box.agent.known import known_actions

    assert {a.name for a in ACTIONS} <= set(known_actions())
    assert all(a.image_only and a.about for a in ACTIONS)


async def test_a_form_without_the_password_shows_again_what_was_looked_into(tmp_path, box):
    async with appliance(tmp_path, box) as (visitor, agent):
        request = Request(
            "POST", "/updates", content=b"do=install&file=/srv/new.raucb",
            actor=replace(acting("owner"), confirmed=False),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )  # fmt: skip
        reply = await visitor.app.host.routes.dispatch(request)
        page = reply.body().decode()
        assert (reply.status, "Install 1.1.0" in page, 'name="my_password"' in page) == (403, True, True)
        assert "needs your password again" in page
        assert "updates.install" not in agent.asked
