"""The early service on a folder that plays the root: what is taken, in which order, once, and what a second start does."""

from __future__ import annotations

import json
import stat
import tomllib

import pytest

from appliance.api.agent import Ran
from appliance.core import durable
from appliance_box import keeping, told
from appliance_box.early import Early
from appliance_box.preseed.taking import TAKEN
from tests.plugins.box.test_box_preseed import IMAGER, KEY, NETWORK, OWN, USER_DATA


@pytest.fixture
def root(tmp_path):
    for folder in ("boot", "data/box", "usr/share/zoneinfo/Europe", "proc", "sys/class/net"):
        (tmp_path / folder).mkdir(parents=True)
    for zone in ("Europe/Berlin", "UTC"):
        (tmp_path / "usr/share/zoneinfo" / zone).write_bytes(b"TZif2")
    (tmp_path / "usr/share/zoneinfo/Etc").mkdir()
    (tmp_path / "usr/share/zoneinfo/Etc/UTC").write_bytes(b"TZif2")
    (tmp_path / "proc/cmdline").write_text("timeball.slot=a root=PARTUUID=x ro panic=10\n")
    return tmp_path


def start(root, **environment):
    return Early(root, lambda *command, **_: Ran(0, ""), environment).run()


def text(root, name):
    return (root / name).read_text()


def mode(root, name):
    return stat.S_IMODE((root / name).stat().st_mode)


def test_our_own_file_sets_the_whole_box_and_loses_its_secrets(root) -> None:
    (root / "boot/timeball.toml").write_text(OWN)
    report = start(root)
    assert report.problems == []
    assert text(root, "run/timeball-box/hostname") == "north\n"
    network = text(root, "run/systemd/network/10-timeball-eth0.network")
    assert "Address=192.0.2.5/24" in network
    assert "Gateway=192.0.2.1" in network
    assert 'psk="correct horse"' in text(root, "run/timeball-box/wifi.conf")
    assert mode(root, "run/timeball-box/wifi.conf") == 0o600
    assert KEY in text(root, "run/timeball-box/authorized_keys")
    assert "PasswordAuthentication no" in text(root, "run/timeball-box/sshd_config")
    people = tomllib.loads(text(root, "var/lib/timeball/people/preseed.toml"))
    assert people["owner"] == {"name": "ada", "password": "a good long one"}
    assert mode(root, "var/lib/timeball/people/preseed.toml") == 0o600
    card = text(root, "boot/timeball.toml")
    assert "correct horse" not in card
    assert "a good long one" not in card
    assert "on the fridge" in card
    assert mode(root, "data/box/box.toml") == 0o600
    assert tomllib.loads(text(root, "data/box/box.toml"))["wifi"]["password"] == "correct horse"


def test_a_second_start_makes_the_same_and_takes_nothing_anew(root) -> None:
    (root / "boot/timeball.toml").write_text(OWN)
    start(root)
    (root / "var/lib/timeball/people/preseed.toml").unlink()
    settings, _ = keeping.load(root)
    keeping.save(root, settings.model_copy(update={"host_name": "changed-on-the-page"}))
    before = text(root, "boot/timeball.toml")
    for name in ("hostname", "wifi.conf"):
        (root / "run/timeball-box" / name).unlink()
    report = start(root)
    assert text(root, "run/timeball-box/hostname") == "changed-on-the-page\n"
    assert (root / "run/timeball-box/wifi.conf").exists(), "what lies in /run is made at each start"
    assert not (root / "var/lib/timeball/people/preseed.toml").exists()
    assert text(root, "boot/timeball.toml") == before
    assert report.problems == []


def test_a_file_that_somebody_edits_later_is_read_again_and_means_the_kept_password(root) -> None:
    (root / "boot/timeball.toml").write_text(OWN)
    start(root)
    card = text(root, "boot/timeball.toml")
    (root / "boot/timeball.toml").write_text(card.replace('"north"', '"south"'))
    assert start(root).problems == []
    settings, _ = keeping.load(root)
    assert (settings.host_name, settings.wifi.password) == ("south", "correct horse")
    # For another network the kept password is none.
    card = text(root, "boot/timeball.toml")
    (root / "boot/timeball.toml").write_text(card.replace('"Harbour"', '"Pier"'))
    (problem,) = start(root).problems
    assert "write it here again" in problem.text
    assert keeping.load(root)[0].wifi.ssid == "Harbour"


def test_what_counts_is_asked_in_order_part_by_part(root) -> None:
    """Imager's file wins over ours, the stick over the hypervisor; parts that only one has are taken from it."""
    (root / "boot/rpi-preseed.toml").write_text(IMAGER)
    (root / "boot/timeball.toml").write_text(OWN)
    stick = root / "dev/disk/by-label/CONFIG"
    stick.mkdir(parents=True)
    (stick / "timeball.toml").write_text('host_name = "stick"\n[pool]\nname = "stick.example"\n')
    handed = root / "credentials"
    handed.mkdir()
    (handed / "timeball.toml").write_text('time_zone = "UTC"\n[[interface]]\nname = "eth7"\n')
    assert start(root, CREDENTIALS_DIRECTORY=str(handed)).problems == []
    settings, _ = keeping.load(root)
    assert settings.host_name == "harbour-1"
    assert settings.time_zone == "Europe/Berlin"
    assert [one.name for one in settings.interface] == ["eth0"]
    assert (
        tomllib.loads(text(root, "var/lib/timeball/people/preseed.toml"))["pool"]["name"]
        == "pool.example.org"
    )
    assert "stick" in (stick / "timeball.toml").read_text(), (
        "a stick is left as it is: it may be for several boxes"
    )


@pytest.mark.parametrize("place", ["boot", "dev/disk/by-label/cidata"])
def test_clouds_files_are_taken_from_the_card_and_from_a_virtual_disk(root, place) -> None:
    (root / place).mkdir(parents=True, exist_ok=True)
    (root / place / "user-data").write_text(USER_DATA)
    (root / place / "network-config").write_text(NETWORK)
    assert start(root).problems == []
    settings, _ = keeping.load(root)
    assert (settings.host_name, settings.wifi.password) == ("harbour-2", "correct horse")
    assert "DHCP=yes" in text(root, "run/systemd/network/10-timeball-wlan0.network")
    left = (root / place / "user-data").read_text()
    assert ("a good long one" in left) is (place != "boot")


def test_settings_from_the_hypervisor_are_taken_once(root) -> None:
    handed = root / "credentials"
    handed.mkdir()
    (handed / "timeball.toml").write_text('host_name = "vm7"\n')
    start(root, CREDENTIALS_DIRECTORY=str(handed))
    assert keeping.load(root)[0].host_name == "vm7"
    keeping.save(root, keeping.load(root)[0].model_copy(update={"host_name": "mine"}))
    start(root, CREDENTIALS_DIRECTORY=str(handed))
    assert keeping.load(root)[0].host_name == "mine"


def test_a_bad_file_is_told_everywhere_and_the_rest_is_done(root) -> None:
    (root / "boot/timeball.toml").write_text(
        'hostname = "x"\n[wifi]\nssid = "Harbour"\npassword = "correct horse"\n'
    )
    report = start(root)
    assert any(
        'did you mean "host_name"?' in line and line.startswith("timeball: NOT used")
        for line in report.lines()
    )
    assert 'did you mean "host_name"?' in text(root, "boot/timeball-problem.txt")
    public = json.loads(text(root, "run/timeball/preseed.json"))
    assert public["problems"][0]["where"] == "timeball.toml (boot partition)"
    assert mode(root, "run/timeball/preseed.json") == 0o644
    assert "correct horse" not in json.dumps(public)
    assert keeping.load(root)[0].wifi.ssid == "Harbour"
    # Until it is mended, the next starts tell it too.
    (root / "run/timeball/preseed.json").unlink()
    assert len(start(root).problems) == 1
    assert told.public(root).problems[0].text.endswith('"host_name"?')
    # Mended: nothing is left of it.
    (root / "boot/timeball.toml").write_text('host_name = "x"\n')
    assert start(root).problems == []
    assert not (root / "boot/timeball-problem.txt").exists()
    assert keeping.load(root)[0].host_name == "x"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda root: (root / "boot/timeball.toml").write_bytes(b"\x00" * 2000),
        lambda root: (root / "boot/timeball.toml").write_bytes(b"x" * 100_000),
        lambda root: (root / "boot/timeball.toml").mkdir(),
        lambda root: (root / "boot/timeball.toml").symlink_to("/etc/shadow"),
        lambda root: (root / "data/box/box.toml").write_text("host_name = 7\n"),
        lambda root: (root / "data/box/preseed-report.json").write_text("[]"),
        lambda root: (root / "data/box/preseed-done").write_bytes(b"\xff\xfe"),
        lambda root: (root / "boot").rmdir(),
    ],
    ids=["zeros", "large", "folder", "link", "own", "report", "done", "none"],
)
def test_whatever_is_broken_the_start_goes_on(root, spoil) -> None:
    spoil(root)
    start(root)
    assert (root / "run/timeball/preseed.json").exists()
    assert (root / "run/timeball-box/localtime").is_symlink()


def test_a_full_or_broken_data_partition_is_told_and_the_start_goes_on(root, monkeypatch) -> None:
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "put", full)
    (root / "boot/timeball.toml").write_text(OWN)
    report = start(root)
    assert any("No space left" in problem.text for problem in report.problems)


def test_safe_mode_from_the_boot_menu_is_passed_on(root) -> None:
    start(root)
    assert not (root / "run/timeball/safe-mode").exists()
    (root / "proc/cmdline").write_text("timeball.slot=a timeball.safe=1 quiet\n")
    start(root)
    assert "boot menu" in text(root, "run/timeball/safe-mode")


def test_what_is_not_wanted_any_more_goes(root) -> None:
    (root / "boot/timeball.toml").write_text(OWN)
    start(root)
    settings, _ = keeping.load(root)
    keeping.save(
        root,
        settings.model_copy(
            update={"wifi": None, "interface": (), "ssh": settings.ssh.model_copy(update={"enabled": False})}
        ),
    )
    start(root)
    for name in (
        "systemd/network/10-timeball-eth0.network",
        "timeball-box/wifi.conf",
        "timeball-box/sshd_config",
        "timeball-box/authorized_keys",
    ):
        assert not (root / "run" / name).exists()


def test_a_password_that_was_taken_over_is_no_password(root) -> None:
    (root / "boot/timeball.toml").write_text(f'[owner]\nname = "x"\npassword = "{TAKEN}"\n')
    start(root)
    assert not (root / "var/lib/timeball/people/preseed.toml").exists()
