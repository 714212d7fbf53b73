"""What the doctor asks about the box, on a folder that plays the root."""

from __future__ import annotations

import pytest

from appliance.api.model import Level
from appliance.core.swapping import MOST_TRIALS, Exchange
from appliance_box import checks, facts, image, told


def put(root, name, text=""):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


IMAGE = 'id = "timeball-pi-arm64"\nversion = "1.0.0"\nbuilt = 1790000000\ncompatible = "timeball-pi-arm64"\n'


def test_a_box_where_all_is_well_has_no_finding(tmp_path) -> None:
    assert checks.partitions(tmp_path) == []
    assert checks.preseed(tmp_path) is None
    assert checks.power(tmp_path) is None
    assert checks.ssh(tmp_path) is None
    assert checks.clock_set(tmp_path, 0.0) is None, "a plain Debian knows no day on which it was built"
    assert checks.restored(tmp_path) is None


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("data-problem", Level.FAILING),
        ("boot-problem", Level.DEGRADED),
        ("grow-problem", Level.DEGRADED),
        ("data-repaired", Level.DEGRADED),
    ],
)
def test_what_was_noted_before_the_system_is_told_with_its_details(tmp_path, name, level) -> None:
    put(tmp_path, f"run/timeball/{name}", "the data partition cannot be mounted\ndetail one\ndetail two\n")
    (finding,) = checks.partitions(tmp_path)
    assert (finding.text, finding.level, finding.evidence) == (
        "the data partition cannot be mounted", level, ("detail one", "detail two"),
    )  # fmt: skip
    assert finding.remedy


def test_a_reset_is_worth_knowing_and_not_wrong(tmp_path) -> None:
    put(tmp_path, "run/timeball/was-reset", "everything was reset to the factory's state\n")
    assert checks.partitions(tmp_path)[0].info


def test_settings_that_were_not_used_are_counted(tmp_path) -> None:
    report = told.Report()
    report.say("timeball.toml", "wifi.pasword: there is no such key")
    report.say("timeball.toml", "hostname: there is no such key")
    told.publish(tmp_path, report)
    finding = checks.preseed(tmp_path)
    assert finding.text == "2 settings of the first start were not used"
    assert "wifi.pasword" in finding.evidence[0]


def test_too_little_voltage_is_seen_by_either_kernels_way(tmp_path) -> None:
    put(tmp_path, "sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
    put(tmp_path, "sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    put(tmp_path, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
    assert checks.power(tmp_path) is None
    put(tmp_path, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    assert checks.power(tmp_path).id == "now"
    put(tmp_path, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
    throttled = "sys/devices/platform/soc/soc:firmware/get_throttled"
    for text, found in (("50005", "now"), ("50000", "before"), ("0", None), ("rubbish", None)):
        put(tmp_path, throttled, text)
        finding = checks.power(tmp_path)
        assert (finding.id if finding else None) == found


LISTENS = "  sl  local_address rem_address   st\n   0: 00000000:0016 00000000:0000 0A 00000000:00000000\n"


@pytest.mark.parametrize(
    ("config", "drop_in", "found"),
    [
        ("", None, True),
        ("#PasswordAuthentication no\n", None, True),
        ("PasswordAuthentication no\n", None, False),
        ("passwordauthentication NO\n", None, False),
        ("PasswordAuthentication yes\n", "PasswordAuthentication no\n", False),
        ("PasswordAuthentication no\n", "PasswordAuthentication yes\n", True),
    ],
)
def test_ssh_with_passwords_is_seen_as_sshd_reads_its_files(tmp_path, config, drop_in, found) -> None:
    put(tmp_path, "proc/net/tcp", LISTENS)
    put(tmp_path, "etc/ssh/sshd_config", config)
    if drop_in is not None:
        put(tmp_path, "etc/ssh/sshd_config.d/a.conf", drop_in)
    assert (checks.ssh(tmp_path) is not None) == found
    put(tmp_path, "proc/net/tcp", LISTENS.replace(":0016", ":0017"))
    assert checks.ssh(tmp_path) is None, "nobody listens"


def test_our_own_ssh_takes_keys_alone(tmp_path) -> None:
    put(tmp_path, "proc/net/tcp", LISTENS)
    put(tmp_path, "etc/ssh/sshd_config")
    put(tmp_path, "run/timeball-box/sshd_config")
    assert checks.ssh(tmp_path) is None


def test_a_clock_that_was_never_set_is_older_than_the_image(tmp_path) -> None:
    put(tmp_path, "usr/lib/timeball/image.toml", IMAGE)
    assert "never set" in checks.clock_set(tmp_path, 1790000010.0).text
    assert checks.clock_set(tmp_path, 1790009999.0) is None


def test_a_restore_that_did_not_run_is_told_and_one_that_somebody_took_back_is_not(tmp_path) -> None:
    put(tmp_path, "timeball.db", "old")
    exchange = Exchange(tmp_path)
    put(exchange.clear(), "timeball.db", "new")
    exchange.arrange("the backup of north")
    for _ in range(MOST_TRIALS + 1):
        exchange.begin()
    finding = checks.restored(tmp_path)
    assert "the backup of north" in finding.text
    put(exchange.clear(), "timeball.db", "newer")
    exchange.arrange("another")
    exchange.begin()
    exchange.settled()
    exchange.arrange_return()
    exchange.begin()
    assert checks.restored(tmp_path) is None


def test_the_image_and_its_slot_are_read_and_rubbish_is_none(tmp_path) -> None:
    assert image.read_image(tmp_path) is None
    put(tmp_path, "usr/lib/timeball/image.toml", IMAGE)
    assert image.read_image(tmp_path).pi
    for text in ("", "id = 3", "id = 'x'", "[", 'id = "x"\nversion = "1"\nbuilt = "soon"'):
        put(tmp_path, "usr/lib/timeball/image.toml", text)
        assert image.read_image(tmp_path) is None
    put(tmp_path, "proc/cmdline", "quiet timeball.slot=b")
    assert image.slot(tmp_path) == "b"
    put(tmp_path, "run/timeball/slot", "a\n")
    assert image.slot(tmp_path) == "a"
    put(tmp_path, "run/timeball/slot", "../x\n")
    assert image.slot(tmp_path) == ""


def test_a_card_tells_its_name_and_what_was_written(tmp_path) -> None:
    assert facts.card(tmp_path) is None
    put(tmp_path, "sys/block/mmcblk0/device/name", "SD64G\n")
    put(tmp_path, "sys/block/mmcblk0/stat", "  100 0 2000 0 300 0 4096 0 0 0 0\n")
    found = facts.card(tmp_path)
    assert (found["name"], found["written_bytes"]) == ("SD64G", 4096 * 512)


def test_addresses_are_read_from_what_ip_says_and_rubbish_is_none(tmp_path) -> None:
    from appliance.api.agent import Ran

    said = (
        '[{"ifname": "lo", "link_type": "loopback", "addr_info": []}, {"ifname": "eth0", "link_type": "ether", "operstate": "UP",'
        ' "address": "52:54:00:12:34:56", "addr_info": [{"local": "192.0.2.5", "prefixlen": 24}, {"local": "2001:db8::1", "prefixlen": 64,'
        ' "temporary": true}]}]'
    )
    assert facts.interfaces(tmp_path, lambda *command, **_: Ran(0, said)) == [
        {
            "name": "eth0",
            "up": True,
            "mac": "52:54:00:12:34:56",
            "physical": False,
            "addresses": ["192.0.2.5/24"],
        }
    ]
    for answer in (Ran(127, ""), Ran(0, "["), Ran(0, '[{"x": 1}]'), Ran(0, "[3]")):
        assert facts.interfaces(tmp_path, lambda *command, answer=answer, **_: answer) == []
