"""The box itself: settings that wait for it in each form, bad ones, SSH, factory reset, a backup that moves to another machine."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

from images.testing.bench import VMS, Bench, case, check
from images.testing.cases.b_boot import START_S, ready
from images.testing.inside import BOOT_ID, Shell, started_anew
from images.testing.machine import Machine
from images.testing.owner import SETTINGS, Owner
from images.testing.sticks import stick

# The name stays "timeball": the owner asks as a browser that was given it, and others are turned away.
IMAGER = """config_version = "1.0"

[system]
hostname = "timeball"

[ssh]
enabled = true
password_authentication = false
authorized_keys = ["{key}"]

[wlan]
ssid = "Harbour"
password = "{psk}"
password_encrypted = true
hidden = false
country = "DE"

[locale]
timezone = "Europe/Berlin"
"""
USER_DATA = """#cloud-config
hostname: timeball
timezone: Europe/Berlin
users:
  - name: ada
    plain_text_passwd: the harbour sets its clocks
"""
NETWORK = """version: 2
ethernets:
  all:
    match: {name: "e*"}
    dhcp4: true
    nameservers: {addresses: [10.0.2.3], search: [harbour.example]}
"""


def host_name(shell: Shell) -> str:
    return shell.must("cat /proc/sys/kernel/hostname")


def restarted(machine: Machine, shell: Shell, how: str) -> Shell:
    """The shell after a restart that `how` (a command line) asks for. The line inside takes one speaker at a time: the old one hangs up."""
    before = shell.must(BOOT_ID)
    # A unit of its own: with the line of a board its shell ends, and all that it began.
    shell.must(f"systemd-run --quiet --collect sh -c {shlex.quote(f'sleep 1; {how}')}")
    shell.close()
    return started_anew(machine, before)


@case(12, "settings from a stick: Imager's form and ours, and SSH", images=VMS, slow=True)
def from_stick(bench: Bench) -> str:
    folder = bench.work / "stick"
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text().strip()
    disk = stick(folder / "config.img", "CONFIG", {
        "rpi-preseed.toml": IMAGER.format(key=public, psk="ab" * 32), "timeball.toml": SETTINGS.replace('host_name = "timeball"', 'host_name = "another"') + '[pool]\nname = "harbour.example"\n',
    })  # fmt: skip
    machine = bench.machine("stick", door=True, disks=(disk,)).start()
    Owner.sign_in(machine, START_S)
    with Shell(machine).ready(START_S) as shell:
        check(host_name(shell) == "timeball", f"it is called {host_name(shell)}, not as the first file says")
        check(
            shell.must("readlink -f /etc/localtime").endswith("Europe/Berlin"),
            "the time zone is not Europe/Berlin",
        )
        check("ab" * 32 in shell.must("cat /run/timeball-box/wifi.conf"), "the Wi-Fi password is not there")
        check(
            shell.must("stat -c %a /run/timeball-box/wifi.conf /data/box/box.toml") == "600\n600",
            "others may read it",
        )
    said: list[str] = []

    def logged_in() -> bool:
        words = ["ssh", "-i", str(key), "-p", str(machine.ports["ssh"]), "-o", "StrictHostKeyChecking=no"]
        words += [
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=30",
            "root@127.0.0.1",
            "id -un",
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
        said[:] = [done.stdout.strip(), done.stderr.strip()[-300:]]
        return done.stdout.strip() == "root"

    machine.until(logged_in, START_S, "root logs in with the key", alive=True, every_s=3)
    bench.done_with(machine)
    return "owner, name, time zone, Wi-Fi, SSH"


@case(12, "settings from a NoCloud disk", images=VMS, slow=True)
def from_cidata(bench: Bench) -> str:
    folder = bench.work / "cidata"
    disk = stick(
        folder / "seed.img",
        "cidata",
        {"user-data": USER_DATA, "network-config": NETWORK, "meta-data": "instance-id: x\n"},
    )
    machine = bench.machine("cidata", door=True, disks=(disk,)).start()
    Owner.sign_in(machine, START_S)
    with Shell(machine).ready(START_S) as shell:
        check(host_name(shell) == "timeball", f"it is called {host_name(shell)}")
        check(
            "harbour.example" in shell.must("resolvectl domain || cat /run/systemd/network/*"),
            "the search domain is not set",
        )
    bench.done_with(machine)
    return "owner, name, network"


@case(
    12,
    "network settings are taken up while it runs, and go back unless they are confirmed",
    images=VMS,
    slow=True,
)
def network_live(bench: Bench) -> str:
    machine = bench.machine("network", door=True, credentials={"timeball.toml": SETTINGS}).start()
    Owner.sign_in(machine, START_S)
    with Shell(machine).ready(START_S) as shell:

        def has(address: str) -> bool:
            # Not on a terminal: there it is coloured.
            return f" {address}/" in shell.must("ip -4 address show scope global | cat")

        change = (
            "timeball --json box network 'e*' --static 10.0.2.77/24 --gateway 10.0.2.2 --confirm-within 180"
        )
        said = json.loads(shell.must(change))
        check(not said["trouble"], f"it says {said['trouble']}")
        machine.until(lambda: has("10.0.2.77"), 170, "the new address is there", alive=True)
        machine.until(lambda: not has("10.0.2.77") and has("10.0.2.15"), 600, "it went back", alive=True)
        said = json.loads(shell.must(change.replace("within 180", "within 600")))
        shell.must(f"timeball box confirm {said['pending']['id']}")
        machine.until(lambda: has("10.0.2.77"), 300, "the new address is there again", alive=True)
        check("10.0.2.77" in shell.must("cat /data/box/box.toml"), "what was confirmed is not kept")
    bench.done_with(machine)
    return "tried, gone back, confirmed"


@case(13, "settings on the card: a bad file, then a good one", slow=True)
def on_card(bench: Bench) -> str:
    machine = bench.machine("card", door=True).start()
    ready(machine)
    with Shell(machine).ready(START_S) as shell:
        shell.must(
            'mount -o remount,rw /boot && printf \'hostname = "x"\\n[wifi]\\nssid = "Harbour"\\npassword = "correct horse"\\n\' '
            ">/boot/timeball.toml && sync && mount -o remount,ro /boot"
        )
        anew = restarted(machine, shell, "systemctl reboot")
    with anew as shell:
        machine.wait_said(r'timeball NOT used: .*did you mean "host_name"', START_S)
        check(
            'did you mean "host_name"' in shell.must("cat /boot/timeball-problem.txt"),
            "nothing is written beside the file",
        )
        check(
            "correct horse" not in shell.must("cat /boot/timeball.toml"),
            "the password still stands on the card",
        )
        check("correct horse" in shell.must("cat /data/box/box.toml"), "the password was not kept")
        check(" ro," in shell.must("grep ' /boot ' /proc/mounts"), "the boot partition is left writable")
        code = ready(machine)
        check(code, "the box cannot be claimed")
        shell.must(
            "mount -o remount,rw /boot && printf 'host_name = \"mended\"\\n' >/boot/timeball.toml && sync && mount -o remount,ro /boot"
        )
        anew = restarted(machine, shell, "systemctl reboot")
    with anew as shell:
        # The shell is there before the settings are.
        machine.until(lambda: host_name(shell) == "mended", START_S, "it is called mended", alive=True)
        check(
            shell.run("test -e /boot/timeball-problem.txt").code == 1,
            "the old problem still stands beside the file",
        )
    bench.done_with(machine)
    return "told on the console and beside the file; mended by the next start"


@case(23, "factory reset", slow=True)
def reset(bench: Bench) -> str:
    machine = bench.machine("reset", door=True, credentials={"timeball.toml": SETTINGS}).start()
    Owner.sign_in(machine, START_S)
    with Shell(machine).ready(START_S) as shell:
        check(host_name(shell) == "timeball", "the credential was not used")
        identity = shell.must("cat /etc/machine-id")
        shell.must("echo here >/data/box/mark && sync")
        anew = restarted(machine, shell, 'timeball box factory-reset --confirm "erase everything"')
    with anew as shell:
        check(shell.run("test -e /data/box/mark").code == 1, "what was there before still is")
        check(shell.run("test -e /data/box/factory-reset").code == 1, "the flag is still there")
        check(shell.must("cat /etc/machine-id") != identity, "the identity is the old one")
        # The credential is still handed over by the hypervisor, and counts anew: the box belongs to its owner again.
        Owner.sign_in(machine, START_S)
    bench.done_with(machine)
    return "data, keys and identity are new"


PASSPHRASE = "eight ropes hold the lantern"  # noqa: S105 - of two machines that live for minutes


def _on_stick(shell: Shell, command: str) -> str:
    shell.must(
        f"mkdir -p /run/stick && mount /dev/disk/by-label/BACKUP /run/stick && echo '{PASSPHRASE}' >/run/phrase"
    )
    said = shell.must(f"{command} --passphrase-file /run/phrase", within_s=600)
    shell.must("umount /run/stick; rm /run/phrase")
    return said


@case(24, "a backup moves to another machine", images=VMS, slow=True)
def backup(bench: Bench) -> str:
    disk = stick(bench.work / "backup.img", "BACKUP", {})
    moved = _moved(bench, disk)
    machine = bench.machine("restore", door=True, disks=(disk,)).start()
    ready(machine)
    with Shell(machine).ready(START_S) as shell:
        check(
            shell.must("stat -c %U /var/lib/timeball/timeball.db") == "timeball",
            "the database is not the service's",
        )
        _on_stick(shell, "timeball backup verify /run/stick/box.sealed")
        said = _on_stick(shell, "timeball backup restore /run/stick/box.sealed --yes --with-box")
        check("starts anew" in said, f"the restore says: {said}")
        Owner.sign_in(machine, START_S)
        check(host_name(shell) == "timeball", f"it is called {host_name(shell)}")
        check(
            shell.must("stat -c %U /var/lib/timeball/timeball.db") == "timeball",
            "the restored database is root's",
        )
        members = shell.must("timeball member list --json")
        check("198.51.100.77" in members, f"the member is not there: {members[:300]}")
        machine.cut()
    machine.start()
    Owner.sign_in(machine, START_S)
    bench.done_with(machine)
    return moved


def _moved(bench: Bench, disk: Path) -> str:
    """Make a backup on one machine, on a stick."""
    machine = bench.machine(
        "backup", door=True, disks=(disk,), credentials={"timeball.toml": SETTINGS}
    ).start()
    Owner.sign_in(machine, START_S)
    with Shell(machine).ready(START_S) as shell:
        shell.must("timeball member add 198.51.100.77 --force", within_s=300)
        said = _on_stick(shell, "timeball backup create /run/stick/box.sealed")
    bench.done_with(machine)
    return said.splitlines()[0]
