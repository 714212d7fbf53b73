"""A box that is set up before it is switched on: what the file on the card says, once."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance_people import preseed
from appliance_people.hashing import Hashing
from tests.plugins.people.bed import OWNER_PASSWORD, box
from tests.support.wait import wait_for

FILE = f"""# my box
[owner]
name = "ada"          # that is me
password = "{OWNER_PASSWORD}"

[network]
wifi = "harbour"
"""


def config(file):
    return f'[plugins.people]\npreseed = "{file}"'


async def test_the_owner_of_the_file_can_sign_in_and_its_password_is_gone_from_the_card(tmp_path):
    file = tmp_path / "timeball.toml"
    file.write_text(FILE)
    async with box(tmp_path / "state", config(file)) as b:
        assert b.people.claimed
        assert (
            await b.visitor().post("/api/v1/session", {"name": "ada", "password": OWNER_PASSWORD})
        ).status == 200
        assert (await b.rows())[-1]["action"] == "preseed"
    text = file.read_text()
    assert OWNER_PASSWORD not in text
    assert "# that is me" in text
    assert tomllib.loads(text) == {"owner": {"name": "ada"}, "network": {"wifi": "harbour"}}


async def test_a_hash_made_elsewhere_does_as_well(tmp_path):
    file = tmp_path / "timeball.toml"
    file.write_text(f'[owner]\npassword_hash = "{await Hashing().hashed(OWNER_PASSWORD)}"\n')
    async with box(tmp_path / "state", config(file)) as b:
        assert (
            await b.visitor().post("/api/v1/session", {"name": "owner", "password": OWNER_PASSWORD})
        ).status == 200
    assert "argon2id" not in file.read_text()


async def test_the_service_managers_credential_makes_an_owner_and_is_left_as_it_is(
    tmp_path, monkeypatch, caplog
):
    """It lies in memory and cannot be written; that is no fault that anybody has to hear of."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / preseed.CREDENTIAL).write_text(FILE)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    async with box(tmp_path / "state") as b:
        assert [u.name for u in b.people.users.values()] == ["ada"]
    assert (folder / preseed.CREDENTIAL).read_text() == FILE
    assert "still stands" not in caplog.text


async def test_a_box_that_has_an_owner_takes_no_second_one_from_a_file_but_its_secrets_away(tmp_path):
    file = tmp_path / "timeball.toml"
    async with box(tmp_path / "state") as b:
        await b.owner()
    file.write_text(FILE.replace('"ada" ', '"eve" '))
    async with box(tmp_path / "state", config(file)) as b:
        assert [u.name for u in b.people.users.values()] == ["ada"]
    assert OWNER_PASSWORD not in file.read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[owner\n", "is no TOML"),
        ("[owner]\nname = 3\npassword = 'quiet lantern soup'\n", "owner.name"),
        ("[owner]\nnaem = 'ada'\npassword = 'quiet lantern soup'\n", "owner.naem"),
        ("[owner]\nname = 'ada'\n", "give a password or a password_hash"),
        ("[owner]\npassword = 'x'\npassword_hash = 'y'\n", "not both"),
        ("[owner]\npassword_hash = '$2b$12$x'\n", "no Argon2id hash"),
        ("[owner]\npassword = 'password1'\n", "too easy to guess"),
        ("owner = 'ada'\n", "owner"),
        ("[pool]\nroles = ['tiem']\n", "pool.roles.0"),
        ("x = '" + "y" * 70_000 + "'", "larger than"),
    ],
)
async def test_what_is_wrong_with_the_file_is_told_and_nothing_of_it_is_used(tmp_path, caplog, text, said):
    file = tmp_path / "timeball.toml"
    file.write_text(text)
    async with box(tmp_path / "state", config(file)) as b:
        assert not b.people.claimed
        (line,) = [r.getMessage() for r in caplog.records if "preseed file was not used" in r.getMessage()]
        assert said in line
        assert str(file) in line
        assert "quiet lantern" not in line
    assert file.read_text() == text


async def test_no_file_is_no_mistake(tmp_path, caplog):
    async with box(tmp_path / "state", config(tmp_path / "none.toml")) as b:
        assert not b.people.claimed
        assert "preseed" not in caplog.text


async def test_the_pools_name_and_the_roles_become_configuration(tmp_path):
    file = tmp_path / "timeball.toml"
    file.write_text(FILE + '[pool]\nname = "pool.harbour.example"\nroles = ["time", "monitor"]\n')
    text = config(file) + '\n[plugins.dns]\nzone = "pool.example.org"\nlisten = ["127.0.0.1:0"]\n'
    found = preseed.read(file)
    assert found.settings() == {
        "plugins.dns.zone": "pool.harbour.example",
        "plugins.ntp.enabled": True,
        "plugins.monitor.enabled": True,
        "plugins.dns.enabled": False,
    }
    file.write_text(FILE + '[pool]\nname = "pool.harbour.example"\n')
    async with box(tmp_path / "state", text, plugins=("people", "dns")) as b:
        rows = []

        async def asked():
            rows[:] = [r for r in await b.rows() if r["action"] == "PATCH /api/v1/config"]
            return bool(rows)

        await wait_for(asked, "the change of the configuration to be asked for")
        assert rows[0]["actor"] == "local:preseed"
        assert rows[0]["status"] == 200

        async def carried_out():
            # Only this clock moves the half second between the answer and the change.
            await b.clock.advance(0.1)
            return b.app.host.config.plugins["dns"].zone == "pool.harbour.example"

        await wait_for(carried_out, "the new zone")


@given(st.binary(max_size=400))
def test_no_file_breaks_the_reader(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("card") / "timeball.toml"
    file.write_bytes(content)
    try:
        preseed.read(file)
    except preseed.Wrong as wrong:
        assert str(file) in str(wrong)
    try:
        preseed.scrub(file)
    except UnicodeDecodeError:
        pytest.fail("scrubbing broke")


async def test_what_the_box_was_told_at_its_start_is_taken_once_and_gone(tmp_path):
    """An image's early service hands over what stood on the card: the file is ours alone."""
    handed = tmp_path / "state" / "people" / "preseed.toml"
    handed.parent.mkdir(parents=True)
    handed.write_text(
        f'[owner]\nname = "ada"\npassword = "{OWNER_PASSWORD}"\n[pool]\nname = "harbour.example"\n'
    )
    async with box(tmp_path / "state") as b:
        assert [u.name for u in b.people.users.values()] == ["ada"]
        assert (
            await b.visitor().post("/api/v1/session", {"name": "ada", "password": OWNER_PASSWORD})
        ).status == 200
    assert not handed.exists()


async def test_a_pool_without_an_owner_is_handed_over_too(tmp_path):
    handed = tmp_path / "state" / "people" / "preseed.toml"
    handed.parent.mkdir(parents=True)
    handed.write_text('[pool]\nroles = ["time"]\n')
    async with box(tmp_path / "state") as b:
        await wait_for(lambda: not handed.exists(), "the file is taken")
        assert not b.people.claimed
