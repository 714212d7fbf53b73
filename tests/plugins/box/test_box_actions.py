"""The agent's actions on a folder that plays the root, with programs that only write down what they were asked."""

from __future__ import annotations

import base64
import json
import time

import pytest

from appliance.api.agent import AgentRefusal, Call, Ran
from appliance_box import keeping, told
from appliance_box.agent import box, card, journal, power
from appliance_box.agent.known import known_actions
from appliance_box.settings import BoxSettings
from tests.plugins.box.test_box_preseed import KEY
from tests.support.wait import wait_until


class Programs:
    """Writes down what was run."""

    def __init__(self, status: int = 0, said: str = "") -> None:
        self.ran: list[tuple[str, ...]] = []
        self.answer = Ran(status, said)

    def __call__(self, *command, **_):
        self.ran.append(command)
        return DESCRIBED if command[-1] == "Describe" and self.answer.status == 0 else self.answer


NETWORKD = ("busctl", "call", "org.freedesktop.network1", "/org/freedesktop/network1", "org.freedesktop.network1.Manager")  # fmt: skip
#: As busctl prints what networkd says of itself.
DESCRIBED = Ran(0, json.dumps({"type": "s", "data": [json.dumps({"Interfaces": [
    {"Index": 1, "Name": "lo", "Type": "loopback"}, {"Index": 3, "Name": "wlan0", "Type": "wlan"}, {"Index": 2, "Name": "eth0", "Type": "ether"},
]})]}))  # fmt: skip


@pytest.fixture
def call(tmp_path):
    for zone in ("Etc/UTC", "Europe/Berlin"):
        file = tmp_path / "usr/share/zoneinfo" / zone
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"TZif2")
    (tmp_path / "boot").mkdir()
    yield Call(tmp_path, Programs(), lambda values: None)
    box._WAITING.pop(tmp_path, None)


def do(call, name, /, **arguments):
    action = known_actions()[name]
    return action.run(call, action.arguments.model_validate(arguments))


NEW = {
    "host_name": "north", "time_zone": "Europe/Berlin", "wifi": {"ssid": "Harbour", "password": "correct horse"},
    "ssh": {"enabled": True, "keys": [KEY]}, "interface": [{"name": "eth0", "method": "static", "addresses": ["192.0.2.5/24"]}],
}  # fmt: skip


def test_settings_are_kept_made_true_and_taken_up(call) -> None:
    assert do(call, "box.apply", settings=NEW) == {"trouble": [], "pending": None}
    assert keeping.load(call.root)[0].host_name == "north"
    assert (call.root / "run/timeball-box/hostname").read_text() == "north\n"
    assert "Address=192.0.2.5/24" in (call.root / "run/systemd/network/10-timeball-eth0.network").read_text()
    assert (call.root / "run/timeball-box/localtime").readlink().name == "Berlin"
    assert (*NETWORKD, "Reload") in call.program.ran
    assert ("systemctl", "restart", "timeball-wifi@wlan0.service") in call.program.ran
    assert ("systemctl", "restart", "timeball-ssh.service") in call.program.ran


def test_what_is_read_has_the_wifi_password_only_for_a_backup(call) -> None:
    do(call, "box.apply", settings=NEW)
    shown = do(call, "box.read")
    assert shown["settings"]["wifi"] == {
        "ssid": "Harbour", "ssid_hex": "", "password": "", "has_password": True, "hidden": False, "country": "",
    }  # fmt: skip
    assert shown["wireless"] == ["wlan0"]
    assert do(call, "box.read", secrets=True)["settings"]["wifi"]["password"] == "correct horse"


def test_what_was_read_can_be_sent_back_and_keeps_the_password(call) -> None:
    do(call, "box.apply", settings=NEW)
    shown = do(call, "box.read")["settings"]
    shown["wifi"]["password"] = None
    do(call, "box.apply", settings={**shown, "host_name": "south"})
    kept = keeping.load(call.root)[0]
    assert (kept.host_name, kept.wifi.password) == ("south", "correct horse")
    shown["wifi"]["ssid"] = "Pier"
    do(call, "box.apply", settings=shown)
    assert keeping.load(call.root)[0].wifi.password == "", (
        "the password of one network is not that of another"
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"host_name": "a_b"}, "host_name"),
        ({"time_zone": "Mars/Olympus"}, "knows no time zone"),
        ({"hots_name": "x"}, "hots_name"),
        ({"interface": [{"name": "eth0", "method": "static"}]}, "needs addresses"),
        ({"interface": [{"name": "eth0"}, {"name": "eth0"}]}, "two tables"),
        ({"interface": [{"name": "../../etc"}]}, "no name of an interface"),
        ({"ssh": {"enabled": True}}, "lets nobody in"),
        ({"wifi": {"ssid": "x" * 33}}, "1 to 32"),
    ],
)
def test_settings_that_cannot_be_are_refused_and_nothing_is_changed(call, change, problem) -> None:
    with pytest.raises(AgentRefusal, match=problem):
        do(call, "box.apply", settings=change)
    assert not (call.root / "data/box/box.toml").exists()
    assert call.program.ran == []


def test_a_change_that_nobody_confirms_goes_back(call) -> None:
    do(call, "box.apply", settings=NEW)
    do(call, "box.apply", settings={**NEW, "interface": []}, confirm_s=1)
    file = call.root / "run/systemd/network/10-timeball-eth0.network"
    assert not file.exists(), "it is tried"
    assert keeping.load(call.root)[0].interface, "and not kept yet"
    wait_until(file.exists, "the old network is back")
    wait_until(lambda: do(call, "box.read")["pending"] is None, "nothing waits any more")
    assert call.program.ran.count((*NETWORKD, "Reload")) == 3


def test_a_change_that_is_confirmed_stays(call) -> None:
    do(call, "box.apply", settings=NEW)
    waits = do(call, "box.apply", settings={**NEW, "interface": []}, confirm_s=600)["pending"]
    assert 590 < waits["left_s"] <= 600
    assert do(call, "box.read")["pending"]["id"] == waits["id"]
    with pytest.raises(AgentRefusal, match="does not wait"):
        do(call, "box.confirm", id="another")
    do(call, "box.confirm", id=waits["id"])
    assert keeping.load(call.root)[0].interface == ()
    assert do(call, "box.read")["pending"] is None


def test_a_change_can_be_taken_back_at_once(call) -> None:
    do(call, "box.apply", settings=NEW)
    waits = do(call, "box.apply", settings={**NEW, "host_name": "south"}, confirm_s=600)["pending"]
    do(call, "box.go_back", id=waits["id"])
    assert (call.root / "run/timeball-box/hostname").read_text() == "north\n"


def test_an_agent_that_was_started_anew_goes_on_waiting(call) -> None:
    """It died in between: what waits lies in /run, with a moment of the kernel's own clock."""
    do(call, "box.apply", settings=NEW)
    do(call, "box.apply", settings={**NEW, "host_name": "south"}, confirm_s=1)
    box._WAITING.pop(call.root)._stop()
    anew = box.pending(call.root, call.program)
    assert anew.waiting()
    anew.resume()
    wait_until(lambda: not anew.waiting(), "it went back")
    assert (call.root / "run/timeball-box/hostname").read_text() == "north\n"


def test_rubbish_in_place_of_a_waiting_change_is_none(call) -> None:
    file = call.root / "run/timeball-box/pending.json"
    file.parent.mkdir(parents=True)
    for text in ("", "[]", '{"settings": {}, "until_ns": "x", "id": 1}', '{"settings": {"a": 1}}'):
        file.write_text(text)
        assert box.pending(call.root).current() is None


def test_a_time_that_has_passed_already_goes_back_at_the_start(call) -> None:
    do(call, "box.apply", settings=NEW)
    waiting = box.pending(call.root, call.program)
    change = box.Change(BoxSettings(host_name="south"), time.monotonic_ns() - 1, "x")
    waiting.begin(change)
    wait_until(lambda: not waiting.waiting(), "it went back")


def test_programs_that_fail_are_told(call, tmp_path) -> None:
    failing = Call(tmp_path, Programs(1, "Failed to connect\nto bus"), lambda values: None)
    assert (
        "the network was not set anew: Failed to connect to bus"
        in do(failing, "box.apply", settings=NEW)["trouble"]
    )


def test_a_factory_reset_wants_its_words_and_leaves_its_flag_before_it_restarts(call) -> None:
    with pytest.raises(AgentRefusal, match="would be gone"):
        do(call, "box.reset", confirm="yes")
    assert call.program.ran == []
    do(call, "box.reset", confirm="erase everything")
    assert (call.root / "data/box/factory-reset").exists()
    assert call.program.ran == [("systemctl", "--no-block", "reboot")]


def test_a_reset_of_a_box_whose_data_cannot_be_written_goes_over_the_boot_partition(call) -> None:
    (call.root / "data").write_text("not a folder")
    do(call, "box.reset", confirm="erase everything")
    assert (call.root / "boot/factory-reset").exists()


def test_files_for_people_go_to_the_card_by_closed_names(call) -> None:
    content = base64.b64encode(b"hello").decode()
    do(call, "card.write", name="timeball-setup-code.txt", content=content)
    assert (call.root / "boot/timeball-setup-code.txt").read_bytes() == b"hello"
    do(call, "card.write", name="timeball-setup-code.txt", content="")
    assert not (call.root / "boot/timeball-setup-code.txt").exists()
    for name in ("timeball.toml", "../x", "timeball-../x.txt", "a/kernel", "cmdline.txt", "timeball-x.txt\n"):
        with pytest.raises(ValueError, match="name"):
            do(call, "card.write", name=name, content=content)
    with pytest.raises(AgentRefusal, match="base64"):
        do(call, "card.write", name="timeball-x.txt", content="%%%")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("power.restart", ("systemctl", "--no-block", "reboot")),
        ("power.off", ("systemctl", "--no-block", "poweroff")),
        ("service.restart", ("systemctl", "--no-block", "restart", power.SERVICE)),
    ],
)
def test_restarts_are_handed_to_the_service_manager(call, name, words) -> None:
    do(call, name)
    assert call.program.ran == [words]


def test_a_service_manager_that_refuses_is_told(tmp_path) -> None:
    refusing = Call(tmp_path, Programs(1, "Access denied"), lambda values: None)
    with pytest.raises(AgentRefusal, match="Access denied"):
        do(refusing, "power.restart")


def test_the_journal_is_asked_for_our_units_alone(call) -> None:
    do(call, "journal.excerpt", lines=10)
    (command,) = call.program.ran
    assert command[0] == "journalctl"
    assert "--lines=10" in command
    assert command.count("--unit") == len(journal.UNITS)


def test_what_was_wrong_at_the_start_can_be_dismissed(call) -> None:
    report = told.Report()
    report.say("timeball.toml", "x")
    told.publish(call.root, report)
    do(call, "box.dismiss")
    assert told.public(call.root) is None


def test_only_an_image_lets_itself_be_changed() -> None:
    actions = known_actions()
    for name in ("box.apply", "box.reset", "card.write"):
        assert actions[name].image_only
    assert card.RESET_FLAG == "factory-reset"
