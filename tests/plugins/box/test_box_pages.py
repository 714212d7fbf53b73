"""The pages and operations of the box: as an owner on an image, and on a plain Debian, over the real listener."""

from __future__ import annotations

import io
import os
import re
import sqlite3
import tarfile
from contextlib import asynccontextmanager, closing
from dataclasses import replace

import aiohttp
import pytest

from appliance.api.model import Level, Problem
from appliance.core.swapping import Exchange
from appliance_box import keeping, told
from appliance_box.backup import lasting, sealing
from appliance_people.people import People
from appliance_web import machine as web_machine
from tests.plugins.box.bed import machine
from tests.plugins.box.test_box_preseed import KEY
from tests.plugins.people.bed import OWNER_PASSWORD
from tests.plugins.web.whole_box import whole
from tests.support.programs import cannot_run
from tests.support.wait import wait_for

WORDS = "quiet lantern soup"


class Owner:
    """An owner's browser."""

    def __init__(self, box, session) -> None:
        self.box = box
        self.session = session

    async def get(self, path):
        async with self.session.get(self.box.base + path) as reply:
            return reply.status, await reply.text()

    async def post(self, path, form=None, **more):
        async with self.session.post(
            self.box.base + path,
            data=form if form is not None else {},
            headers={"Origin": self.box.base},
            **more,
        ) as reply:
            return reply.status, (await reply.read())


@asynccontextmanager
async def owner(folder, config=""):
    async with whole(folder, "empty", config=config, history=False) as box:
        name, value = box.cookie
        async with aiohttp.ClientSession(headers={"Cookie": f"{name}={value}"}) as session:
            yield Owner(box, session)


@pytest.fixture
def image(tmp_path, monkeypatch):
    (tmp_path / "root").mkdir()
    with machine(tmp_path / "root", monkeypatch) as found:
        yield found


@pytest.fixture(autouse=True)
def _cheap(monkeypatch):
    monkeypatch.setattr(sealing.Sealer.__init__, "__kwdefaults__", {"cost": 2})


async def test_on_a_plain_debian_it_says_what_is_not_offered_and_why(tmp_path) -> None:
    async with owner(tmp_path) as me:
        status, text = await me.get("/box")
        assert status == 200
        assert "This is no image of ours" in text
        assert "/box/do/power-off" not in text
        assert "/box/backup" in text
        status, text = await me.get("/box/network")
        assert status == 200
        assert "Not offered here" in text


async def test_the_machine_is_told_in_the_units_of_the_overview_and_its_wear_is_a_share(
    tmp_path, monkeypatch
) -> None:
    told_by = web_machine.read

    def worn(*where, **more):
        return told_by(*where, **more) | {
            "life_used": 0.3,
            "memory": {"total_bytes": 4e9, "available_bytes": 3.1e9},
        }

    monkeypatch.setattr(web_machine, "read", worn)
    async with owner(tmp_path) as me:
        _, text = await me.get("/box")
        assert "about 30.0 % of its life used" in text
        assert "3.1 GB of 4.0 GB available" in text


async def test_an_image_shows_what_it_is_and_its_settings(tmp_path, image) -> None:
    report = told.Report()
    report.say("timeball.toml (boot partition)", 'hots_name: there is no such key; did you mean "host_name"?')
    told.publish(image.root, report)
    async with owner(tmp_path, image.config) as me:
        _, text = await me.get("/box")
        for word in (
            "timeball-vm-amd64 1.2.3",
            "A of A and B",
            "Standard PC",
            "did you mean",
            "/box/do/reset",
        ):
            assert word in text
        _, text = await me.get("/doctor")
        assert "of the first start was not used" in text
        status, _ = await me.post("/box/do/dismiss")
        assert status == 200
        assert told.public(image.root) is None


NETWORK = {
    "host_name": "north", "time_zone": "Europe/Berlin", "wifi_ssid": "Harbour", "wifi_password": "correct horse",
    "ssh_enabled": "yes", "ssh_keys": KEY, "i0_name": "eth0", "i0_method": "static", "i0_addresses": "192.0.2.5/24, 2001:db8::5/64",
    "i0_gateways": "192.0.2.1", "i0_dns": "192.0.2.1", "i0_search": "",
}  # fmt: skip


async def test_the_network_is_changed_on_trial_and_kept(tmp_path, image) -> None:
    async with owner(tmp_path, image.config) as me:
        status, body = await me.post("/box/network", NETWORK)
        text = body.decode()
        assert status == 200
        assert "A change waits for you" in text
        assert "https://192.0.2.5/box/network" in text
        assert keeping.load(image.root)[0].host_name == "", "not kept yet"
        change = re.search(r'name="id" value="([0-9a-f]+)"', text)[1]
        status, _ = await me.post("/box/network/settle", {"id": change, "keep": "yes"})
        assert status == 200
        kept = keeping.load(image.root)[0]
        assert kept.host_name == "north"
        assert kept.interface[0].addresses == ("192.0.2.5/24", "2001:db8::5/64")
        assert kept.wifi.password == "correct horse"
        # The form shows it all but the password, and what is sent back unchanged changes nothing.
        _, text = await me.get("/box/network")
        assert "correct horse" not in text
        assert "192.0.2.5/24" in text
        await me.post("/box/network", {**NETWORK, "wifi_password": "", "host_name": "south"})
        _, text = await me.get("/box/network")
        change = re.search(r'name="id" value="([0-9a-f]+)"', text)[1]
        await me.post("/box/network/settle", {"id": change, "keep": "no"})
        assert keeping.load(image.root)[0] == kept
        rows = (await me.box.app.get("/api/v1/audit"))["rows"]
        changes = [row for row in rows if row["action"].endswith("/api/v1/box/settings")]
        assert len(changes) == 2
        assert "correct horse" not in str(rows)


async def test_a_network_that_cannot_be_is_refused_beside_its_fields(tmp_path, image) -> None:
    async with owner(tmp_path, image.config) as me:
        status, body = await me.post(
            "/box/network", {**NETWORK, "host_name": "a_b", "i0_gateways": "198.51.100.1"}
        )
        text = body.decode()
        assert status == 422
        assert "no host name" in text
        assert 'id="b-host_name" name="host_name" type="text" value="a_b"' in text
        assert not (image.root / "data/box/box.toml").exists()


async def test_restart_and_reset_want_what_they_want(tmp_path, image) -> None:
    async with owner(tmp_path, image.config) as me:
        status, body = await me.post("/box/do/reset", {"confirm": "yes"})
        assert status == 422
        assert b"erase everything" in body
        assert not (image.root / "data/box/factory-reset").exists()
        status, body = await me.post("/box/do/reset", {"confirm": "erase everything"})
        assert status == 200
        assert (image.root / "data/box/factory-reset").exists()
        assert ("systemctl", "--no-block", "reboot") in image.ran
        status, _ = await me.post("/box/do/nothing")
        assert status == 404


async def test_the_password_is_taken_once_more_and_leads_back_to_a_page_of_ours(tmp_path, image) -> None:
    async with owner(tmp_path, image.config) as me:
        people = me.box.app.host.services
        from appliance_people.people import People

        for session in (
            people.get(People).sessions.all() if hasattr(people.get(People).sessions, "all") else ()
        ):
            session.confirmed = 0.0
        status, body = await me.post(
            "/box/unlock", {"back": "/box/backup", "my_password": "wrong one entirely"}
        )
        assert status in (401, 403, 422)
        status, body = await me.post(
            "/box/unlock", {"back": "https://evil.example", "my_password": OWNER_PASSWORD}
        )
        assert status == 200
        assert b"What it is" in body


@pytest.mark.parametrize("passphrase", ["", WORDS], ids=["plain", "sealed"])
async def test_a_backup_comes_down_and_goes_up_again(tmp_path, passphrase) -> None:
    async with owner(tmp_path) as me:
        status, body = await me.post(
            "/box/backup", {"passphrase": passphrase, "passphrase_again": passphrase}
        )
        assert status == 200
        assert body.startswith(sealing.MAGIC if passphrase else b"\x1f\x8b")
        box = me.box.app.host.state_dir / "box"
        await wait_for(lambda: lasting.read(box.parent), "the note of when it was made")
        assert [one.name for one in box.iterdir()] == ["last-backup.json"], "nothing else is left lying about"
        _, text = await me.get("/box/backup")
        assert "The last backup was made just now" in text
        assert ("It is sealed" if passphrase else "It is not sealed") in text
        form = aiohttp.FormData()
        form.add_field("passphrase_of_file", passphrase)
        form.add_field("file", body, filename="b.tar.gz")
        status, text = await me.post("/box/restore", form)
        assert status == 200
        assert b"This backup waits for your word" in text
        assert [one.name for one in box.iterdir()] == ["last-backup.json"]
        again = []
        me.box.app.host.changes.restart = lambda: again.append(1)
        status, text = await me.post("/box/restore/apply", {"do": "yes", "config": "yes"})
        assert status == 200
        assert b"starts anew" in text
        await wait_for(lambda: again, "the appliance starts anew")
        assert Exchange(me.box.app.host.state_dir).plan().phase == "ready"
        state = me.box.app.host.state_dir
    plan = Exchange(state).begin()
    assert plan.phase == "trial"
    with closing(sqlite3.connect(state / "timeball.db")) as db:
        assert db.execute("SELECT count(*) FROM people__user").fetchone()[0] == 1
    async with whole(tmp_path, "empty", history=False) as box:
        assert box.cookie is None, "the restored box has its owner"


async def test_how_old_the_last_backup_is_stands_on_top(tmp_path) -> None:
    async with owner(tmp_path) as me:
        assert "No backup of this box was made yet" in (await me.get("/box/backup"))[1]
        state, now_s = me.box.app.host.state_dir, me.box.app.host.clock.wall_ns() / 1e9
        lasting.note(state, lasting.Last(now_s - 40 * 86400, sealed=False))
        _, text = await me.get("/box/backup")
        assert "The last backup was made 40 d ago" in text
        assert "would be lost with the card" in text


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 900, b"[]", b'{"made_s": NaN, "sealed": true}', b'{"made_s": 1e99, "sealed": 1}', b"\xff"]
)  # fmt: skip
def test_a_damaged_note_of_the_last_backup_is_none(tmp_path, content) -> None:
    (tmp_path / "box").mkdir()
    (tmp_path / "box/last-backup.json").write_bytes(content)
    assert lasting.read(tmp_path) is None


def test_a_backup_of_roots_leaves_the_folder_to_the_appliance(tmp_path) -> None:
    if os.geteuid():
        cannot_run("only root can give a folder to somebody else")
    os.chown(tmp_path, 65534, 65534)
    lasting.note(tmp_path, lasting.Last(1.0, sealed=True))
    assert lasting.read(tmp_path) == lasting.Last(1.0, sealed=True)
    assert (tmp_path / "box").stat().st_uid == 65534


async def test_what_is_wrong_with_the_box_stands_on_top_of_its_page(tmp_path, monkeypatch) -> None:
    async with owner(tmp_path) as me:
        _, text = await me.get("/box")
        assert " is well</h1>" in text
        own = me.box.app.host.own_problems
        monkeypatch.setattr(
            me.box.app.host, "own_problems",
            lambda: [*own(), Problem("store", Level.FAILING, "the disk is <full>", "make room")],
        )  # fmt: skip
        await wait_for(lambda: _says(me, "the disk is &lt;full&gt;"), "the next look at health")
        _, text = await me.get("/box")
        assert 'class="verdict failing"' in text
        assert "Make room" in text


async def _says(me, words) -> bool:
    return words in (await me.get("/box"))[1]


async def test_what_is_no_backup_is_refused_and_forgotten(tmp_path) -> None:
    async with owner(tmp_path) as me:
        for content, word in ((b"hello", b"no backup of ours"), (sealing.MAGIC + b"{}", b"sealed")):
            form = aiohttp.FormData()
            form.add_field("passphrase_of_file", "")
            form.add_field("file", content, filename="x")
            status, text = await me.post("/box/restore", form)
            assert status == 422
            assert word in text
        form = aiohttp.FormData()
        form.add_field("passphrase_of_file", "")
        status, _ = await me.post("/box/restore", form)
        assert status == 422
        status, text = await me.post(
            "/box/backup", {"passphrase": "one thing", "passphrase_again": "another"}
        )
        assert status == 422
        assert b"differ" in text
        status, text = await me.post("/box/backup", {"passphrase": "short", "passphrase_again": "short"})
        assert status == 422
        status, text = await me.post("/box/restore/return")
        assert status == 409


async def test_the_bundle_holds_what_helps_and_no_secret(tmp_path, image) -> None:
    """Every kind of secret is put in, and looked for in what comes out."""
    hidden = {
        "Wi-Fi password": "correct horse battery", "secrets folder": "s3cret-of-the-folder", "owner's password": OWNER_PASSWORD,
        "key of clients": "feedfacefeedfacefeedfacefeedface", "webhook": "https://hooks.example/T0KENT0KENT0KEN",
        "hash": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo", "crypt": "$6$saltsalt$hashhashhashhash",
        "token": "timeball_abcdefghijklmnopqrstuvwxyz0123456789", "bearer": "AbCdEfGh1234567890",
        "private key": "MC4CAQAwBQYDK2VwBCIEIGk", "in a url": "hunter2hunter2", "named": "opensesame99",
    }  # fmt: skip
    keeping.save(
        image.root,
        keeping.load(image.root)[0].model_validate(
            {"wifi": {"ssid": "Harbour", "password": hidden["Wi-Fi password"]}}
        ),
    )
    image.journal = "\n".join([
        "started", f"psk {hidden['Wi-Fi password']}", f"from the folder {hidden['secrets folder']}", hidden["hash"], hidden["crypt"],
        f"shown {hidden['token']}", f"Authorization: Bearer {hidden['bearer']}",
        f"-----BEGIN PRIVATE KEY-----\n{hidden['private key']}\n-----END PRIVATE KEY-----", f"https://ada:{hidden['in a url']}@example.org/",
        f"smtp_password = '{hidden['named']}'", "this box has no owner yet: type the setup code VXT4-J3YY", "ended",
    ])  # fmt: skip
    async with owner(tmp_path, image.config) as me:
        state = me.box.app.host.state_dir
        (state / "secrets").mkdir(exist_ok=True)
        (state / "secrets/smtp").write_text(hidden["secrets folder"] + "\n")
        async with me.session.get(me.box.base + "/box/support-bundle") as reply:
            assert reply.status == 200
            assert "timeball-support-" in reply.headers["Content-Disposition"]
            content = await reply.read()
    texts = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar:
            texts[member.name.partition("/")[2]] = tar.extractfile(member).read().decode()
    assert {"about.json", "doctor.json", "report.json", "journal.txt", "kernel.txt", "box.json"} <= set(texts)
    assert "started" in texts["journal.txt"]
    assert "ended" in texts["journal.txt"]
    assert "VXT4" not in texts["journal.txt"]
    whole_text = "\n".join(texts.values())
    assert [kind for kind, secret in hidden.items() if secret in whole_text] == []


async def test_who_only_looks_cannot_change_and_strangers_see_nothing(tmp_path) -> None:
    async with whole(tmp_path, "empty", history=False) as box, aiohttp.ClientSession() as session:
        for path in ("/api/v1/box", "/api/v1/backup", "/api/v1/support-bundle"):
            async with session.get(box.base + path) as reply:
                assert reply.status == 401
        for path in (
            "/api/v1/box/restart",
            "/api/v1/box/reset",
            "/api/v1/backup",
            "/api/v1/backup/restore",
            "/api/v1/restart",
        ):
            async with session.post(box.base + path, headers={"Origin": box.base}) as reply:
                assert reply.status == 401


async def test_the_forms_of_the_box_take_the_password_with_them_and_keep_what_was_typed(
    tmp_path, image
) -> None:
    async with owner(tmp_path, image.config) as me:
        people = me.box.app.service(People)

        def long_ago() -> None:
            for key, session in people.sessions.items():
                people.sessions[key] = replace(session, confirmed=-1e9)

        long_ago()
        _, text = await me.get("/box")
        assert text.count('name="my_password"') == 2, "one for the power, one for the reset"
        for what, password, status in (
            ("restart", "", 403),
            ("power-off", "wrong one entirely", 422),
            ("reset", "", 403),
            ("reset", "wrong one entirely", 422),
        ):
            form = {"confirm": "erase everything", "my_password": password}
            found, body = await me.post(f"/box/do/{what}", form)
            text = body.decode()
            assert (found, text.count('aria-invalid="true"')) == (status, int(status == 422))
            assert ('value="erase everything"' in text) == (what == "reset")
        assert not [ran for ran in image.ran if ran[0] == "systemctl"]
        _, text = await me.get("/box/network")
        assert 'name="my_password"' in text
        form = {**NETWORK, "host_name": "north"}
        status, body = await me.post("/box/network", form)
        assert (status, 'value="north"' in body.decode()) == (403, True)
        status, body = await me.post("/box/network", form | {"my_password": OWNER_PASSWORD})
        assert status == 200, body
        assert "A change waits for you" in body.decode()
        long_ago()
        status, _ = await me.post("/box/do/restart", {"my_password": OWNER_PASSWORD})
        assert status == 200
        assert ("systemctl", "--no-block", "reboot") in image.ran
        # It was taken, and is not asked for again, although the words were wrong.
        long_ago()
        status, body = await me.post("/box/do/reset", {"confirm": "yes", "my_password": OWNER_PASSWORD})
        assert (status, b"my_password" in body) == (422, False)


async def test_an_admin_neither_erases_the_owner_nor_lets_himself_in_as_root(tmp_path, image) -> None:
    async with owner(tmp_path, image.config) as me:
        app = me.box.app
        before = (await app.get("/api/v1/box"))["settings"]["ssh"]
        body = {"confirm": "erase everything"}
        for path in ("/api/v1/box/reset", "/box/do/reset"):
            content = {"body": body} if path.startswith("/api") else {}
            assert (await app.ask("POST", path, role="admin", **content)).status == 403
        assert not (image.root / "data/box/factory-reset").exists()
        for more, status in (
            ({"ssh": {"enabled": True, "keys": [KEY]}}, 403),
            ({"ssh": {"enabled": False, "keys": [KEY]}}, 403),
            ({"ssh": None}, 403),
            ({"ssh": before}, 200),
            ({}, 200),
        ):
            body = {"settings": {"host_name": "north", **more}}
            reply = await app.ask("POST", "/api/v1/box/settings", role="admin", body=body)
            assert reply.status == status, reply.value
            if status == 200:
                change = (await app.get("/api/v1/box"))["pending"]["id"]
                await app.post("/api/v1/box/settings/go-back", {"id": change})
        for role, offered in (("owner", True), ("admin", False)):
            page = (await app.ask("GET", "/box", role=role)).body().decode()
            assert ('action="/box/do/reset"' in page) == offered
            page = (await app.ask("GET", "/box/network", role=role)).body().decode()
            assert ('name="ssh_keys"' in page) == offered
