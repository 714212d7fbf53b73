"""The commands: the box by way of a real agent, and backups of a real process, restored while it runs and before it does."""

from __future__ import annotations

import io
import json
import tarfile

import pytest
from click.testing import CliRunner

from appliance.cli import build
from appliance_box import keeping
from tests.e2e.pool import Pool
from tests.plugins.box.bed import machine
from tests.plugins.box.test_box_preseed import KEY
from tests.support.programs import free_port
from tests.support.wait import wait_until

CONFIG = """
[plugins.clock]
source = "local"
[plugins.ntp]
listen = ["127.0.0.1:{ntp}"]
[plugins.dns]
listen = ["127.0.0.1:{dns}"]
zone = "pool.example.org"
[plugins.web]
listen = "127.0.0.1:{web}"
listen_tls = []
[plugins.monitor]
interval_s = 600
"""


@pytest.fixture
def image(tmp_path, monkeypatch):
    (tmp_path / "root").mkdir()
    with machine(tmp_path / "root", monkeypatch) as found:
        yield found


def box(image, *words: str, code: int = 0, stdin: str = ""):
    done = CliRunner().invoke(
        build(), ["box", "--agent", str(image.root / "agent.sock"), *words], input=stdin
    )
    assert done.exit_code == code, f"{words}: {done.exit_code} {done.output} {done.exception!r}"
    return json.loads(done.stdout) if "--json" in words and code == 0 else done.output


def test_the_box_is_set_from_the_command_line(image, tmp_path) -> None:
    box(image, "set", "host_name=north", "time_zone=Europe/Berlin")
    box(image, "network", "eth0", "--static", "192.0.2.5/24", "--gateway", "192.0.2.1", "--dns", "192.0.2.1")
    box(image, "wifi", "Harbour", "--password-stdin", "--country", "DE", stdin="correct horse\n")
    (tmp_path / "key.pub").write_text(f"# mine\n{KEY}\n")
    box(image, "ssh", "on", "--key-file", str(tmp_path / "key.pub"))
    kept = keeping.load(image.root)[0]
    assert (kept.host_name, kept.time_zone, kept.wifi.password, kept.ssh.keys) == (
        "north",
        "Europe/Berlin",
        "correct horse",
        (KEY,),
    )
    assert kept.interface[0].gateways == ("192.0.2.1",)
    # One thing changed later leaves the others as they were, the password too.
    box(image, "set", "host_name=south")
    box(image, "network", "eth0", "--dhcp")
    box(image, "ssh", "off")
    kept = keeping.load(image.root)[0]
    assert (kept.host_name, kept.wifi.password, kept.ssh.enabled, kept.ssh.keys) == (
        "south",
        "correct horse",
        False,
        (KEY,),
    )
    assert kept.interface[0].method == "dhcp"
    box(image, "network", "eth0", "--image")
    box(image, "wifi", "--off")
    kept = keeping.load(image.root)[0]
    assert (kept.interface, kept.wifi) == ((), None)


def test_a_change_on_trial_is_confirmed_or_taken_back(image) -> None:
    waits = box(image, "set", "host_name=north", "--confirm-within", "600", "--json")["pending"]
    box(image, "go-back", waits["id"])
    assert keeping.load(image.root)[0].host_name == ""
    waits = box(image, "set", "host_name=north", "--confirm-within", "600", "--json")["pending"]
    box(image, "confirm", waits["id"])
    assert keeping.load(image.root)[0].host_name == "north"
    assert "does not wait any more" in box(image, "confirm", waits["id"], code=5)


def test_what_a_person_can_do_wrong_is_told(image, tmp_path) -> None:
    assert "host_name=NAME" in box(image, "set", "hots=x", code=2)
    assert "no host name" in box(image, "set", "host_name=a_b", code=1)
    assert "name, or --off" in box(image, "wifi", code=2)
    assert "lets nobody in" in box(image, "ssh", "on", code=1)
    assert "would be gone" in box(image, "factory-reset", "--confirm", "yes", code=1)
    assert not (image.root / "data/box/factory-reset").exists()
    done = CliRunner().invoke(build(), ["box", "--agent", str(tmp_path / "none"), "confirm", "x"])
    assert done.exit_code == 3
    assert "timeball-agent.socket" in done.output


def test_power_is_asked_for_before_it_is_switched(image) -> None:
    box(image, "restart", stdin="n\n", code=1)
    assert image.ran == []
    box(image, "restart", "--yes")
    assert image.ran == [("systemctl", "--no-block", "reboot")]


def pool(folder) -> Pool:
    folder.mkdir()
    config = CONFIG.format(ntp=free_port(), dns=free_port(), web=free_port())
    return Pool(folder, config)


def answers(one: Pool) -> None:
    wait_until(lambda: one.try_ask("member", "list") is not None, "it answers its commands", timeout_s=120)


def backup(*words: str, code: int = 0):
    done = CliRunner().invoke(build(), ["backup", *words])
    assert done.exit_code == code, f"{words}: {done.exit_code} {done.output} {done.exception!r}"
    return json.loads(done.stdout) if "--json" in words and code == 0 else done.output


@pytest.mark.timeout(400)
def test_a_backup_of_a_running_box_is_restored_on_one_that_never_ran_and_on_one_that_runs(tmp_path) -> None:
    (tmp_path / "phrase").write_text("quiet lantern soup\n")
    first, second = pool(tmp_path / "first"), pool(tmp_path / "second")
    file = tmp_path / "b.sealed"
    try:
        first.start()
        answers(first)
        first.ask("member", "add", "198.51.100.77", "--force")
        here, there = (("--state-dir", str(tmp_path / name / "state")) for name in ("first", "second"))
        phrase = ("--passphrase-file", str(tmp_path / "phrase"))
        made = backup("create", str(file), *phrase, *here, "--json")
        assert made["sealed"]
        assert made["files"] > 3
        assert "is there already" in backup("create", str(file), *phrase, *here, code=6)
        assert backup("verify", str(file), *phrase, "--json")["whole"]
        assert "sealed" in backup("show", str(file), code=1)
        # One that never ran.
        said = backup("restore", str(file), *phrase, *there, "--yes", "--json")
        assert said["takes_effect"] == "with the next start"
        second.start()
        answers(second)
        assert "198.51.100.77" in str(second.members())
        # One that runs: it starts anew by itself, with what was there when the backup was made.
        second.ask("member", "add", "198.51.100.78", "--force")
        assert backup("restore", str(file), *phrase, *there, "--yes", "--json")["takes_effect"] == "now"
        wait_until(
            lambda: "198.51.100.78" not in str(second.try_ask("member", "list") or "198.51.100.78"),
            "the backup is there",
        )
        answers(second)
        assert "198.51.100.77" in str(second.members())
        # And back.
        backup("return", *there, "--yes")
        wait_until(lambda: "198.51.100.78" in str(second.try_ask("member", "list")), "it is as it was before")
        done = CliRunner().invoke(build(), ["support-bundle", str(tmp_path / "bundle.tar.gz"), *there])
        assert done.exit_code == 0, done.output
        with tarfile.open(fileobj=io.BytesIO((tmp_path / "bundle.tar.gz").read_bytes())) as tar:
            assert "timeball-support/doctor.json" in tar.getnames()
    finally:
        first.close()
        second.close()
    assert file.stat().st_mode & 0o077 == 0
