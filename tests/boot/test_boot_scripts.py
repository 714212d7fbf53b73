"""The scripts for GRUB and U-Boot, run by GRUB and U-Boot themselves, do what the model does: every state there is."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from appliance.boot import grub_block, uboot_env
from appliance.boot.scheme import SLOTS, TRIES, BootState, Slot, activate, begin_install, lost, power_up
from images.builder.boot.uboot import boot_script
from tests.support.programs import REPOSITORY, cannot_run, need

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCRIPTS = REPOSITORY / "images" / "boot"
EVERY_SLOT = [*(Slot(n) for n in range(TRIES + 1)), Slot(TRIES, good=True)]
EVERY_STATE = [
    BootState(order, {"A": a, "B": b}, last)
    for order, a, b, last in itertools.product([("A", "B"), ("B", "A")], EVERY_SLOT, EVERY_SLOT, SLOTS)
]
START = 2048


def modules() -> Path:
    folder = Path("/usr/lib/grub/i386-pc")
    if not folder.is_dir():
        cannot_run("GRUB's modules are not installed; run: sudo make peers (Debian package grub-pc-bin)")
    return folder


def grub_disk(path: Path, files: dict[str, bytes]) -> None:
    """A disk that BIOS starts GRUB from, with one FAT partition."""
    core = path.with_suffix(".core")
    early = path.with_suffix(".cfg")
    early.write_text("set root=(hd0,msdos1)\nset prefix=(hd0,msdos1)/grub\nnormal\n")
    subprocess.run(
        [need("grub-mkimage"), "-O", "i386-pc", "-o", core, "-p", "/grub", "-c", early, "biosdisk", "part_msdos", "fat",
         "normal", "loadenv", "test", "echo", "halt", "serial", "terminal", "configfile"],
        check=True,
    )  # fmt: skip
    fat = path.with_suffix(".fat")
    make_fat(fat, files)
    boot = bytearray((modules() / "boot.img").read_bytes()[:512])
    boot[446:] = partition_table(fat)  # over code for floppy disks
    with path.open("wb") as disk:
        disk.write(boot)
        disk.write(core.read_bytes())
        disk.seek(START * 512)
        disk.write(fat.read_bytes())


def partition_table(fat: Path) -> bytes:
    """The last 66 bytes of a master boot record with one partition."""
    entry = bytes([0x80, 0, 2, 0, 0x0C, 0xFF, 0xFF, 0xFF])
    entry += START.to_bytes(4, "little") + (fat.stat().st_size // 512).to_bytes(4, "little")
    return entry.ljust(64, b"\0") + b"\x55\xaa"


def make_fat(path: Path, files: dict[str, bytes]) -> None:
    path.write_bytes(b"\0" * (34 << 20))
    subprocess.run([need("mkfs.vfat"), "-F", "32", path], check=True, capture_output=True)
    folders = sorted({name.split("/")[0] for name in files if "/" in name})
    for folder in folders:
        subprocess.run([need("mmd"), "-i", path, f"::{folder}"], check=True)
    for name, content in files.items():
        subprocess.run([need("mcopy"), "-i", path, "-", f"::{name}"], input=content, check=True)


def read_back(disk: Path, name: str) -> bytes:
    return subprocess.run(
        [need("mcopy"), "-i", f"{disk}@@{START * 512}", f"::{name}", "-"], check=True, capture_output=True
    ).stdout


def power_on(disk: Path, *machine: str, until: str) -> str:
    """Start it, and read the serial console until `until` is said or the machine is off."""
    process = subprocess.Popen(
        [*machine, "-m", "256", "-display", "none", "-no-reboot", "-serial", "stdio", "-nic", "none",
         "-drive", f"file={disk},format=raw,if=none,id=d"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    said = b""
    assert process.stdout is not None
    limit = threading.Timer(120, process.kill)
    limit.start()
    try:
        while chunk := process.stdout.read1(4096):
            said += chunk
            if until.encode() in said:
                break
    finally:
        limit.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
    return said.decode("latin-1")


def grub(disk: Path) -> str:
    return power_on(disk, need("qemu-system-x86_64"), "-device", "ide-hd,drive=d", until="THE END")


def as_grub(state: BootState) -> str:
    return "".join(
        f'set {name}="{value}"\n' for name, value in grub_block.unpack(grub_block.encode(state, {})).items()
    )


HEAD = "serial --unit=0\nterminal_output serial\nset slots_boot=(hd0,msdos1)\n"


def test_grub_chooses_and_counts_as_the_model_does_in_every_state(tmp_path):
    config = HEAD
    for number, state in enumerate(EVERY_STATE):
        config += as_grub(state) + "source /grub/slots\n" + f'echo "R {number} $slot $A_TRY $B_TRY ."\n'
    files = {
        "grub/grub.cfg": (config + "echo THE END\n").encode(),
        "grub/slots": (SCRIPTS / "slots.grub").read_bytes(),
    }
    files |= {"grub/grubenv": grub_block.encode(BootState(), {})}
    grub_disk(tmp_path / "disk", files)
    said = grub(tmp_path / "disk")
    found = {int(n): rest for n, rest in re.findall(r"R (\d+) (\w \d \d) \.", said)}
    expected = {}
    for number, state in enumerate(EVERY_STATE):
        chosen, after = power_up(state)
        # Of a slot that is used up GRUB leaves the count, and the model no longer cares.
        tries = [
            grub_block.unpack(grub_block.encode(state, {}))[f"{n}_TRY"]
            if after.slots[n] == state.slots[n]
            else str(TRIES - after.slots[n].tries_left)
            for n in SLOTS
        ]
        expected[number] = " ".join([chosen, *tries])
    assert found == expected


def test_grub_writes_each_start_of_a_new_system_down_and_comes_back_after_three(tmp_path):
    config = HEAD + 'load_env\nsource /grub/slots\necho "R $slot ."\necho THE END\n'
    state = activate(begin_install(BootState(), "B"), "B")
    files = {"grub/grub.cfg": config.encode(), "grub/slots": (SCRIPTS / "slots.grub").read_bytes()}
    files |= {"grub/grubenv": grub_block.encode(state, {})}
    grub_disk(tmp_path / "disk", files)
    for _ in range(4):
        chosen, state = power_up(state)
        said = grub(tmp_path / "disk")
        assert re.findall(r"R (\w) \.", said) == [chosen], said
        kept = read_back(tmp_path / "disk", "grub/grubenv")
        assert grub_block.decode(grub_block.unpack(kept)) == state


@pytest.mark.parametrize("last_good", [*SLOTS, ""])
def test_grub_without_its_block_starts_the_slot_that_was_good_last(tmp_path, last_good):
    config = HEAD + 'load_env\nsource /grub/slots\necho "R $slot ."\necho THE END\n'
    files = {
        "grub/grub.cfg": config.encode(),
        "grub/slots": (SCRIPTS / "slots.grub").read_bytes(),
        "grub/grubenv": b"\0" * 1024,
    }
    if last_good:
        files["last_good.env"] = grub_block.pack({"LAST_GOOD": last_good})
    grub_disk(tmp_path / "disk", files)
    said = grub(tmp_path / "disk")
    assert re.findall(r"R (\w) \.", said) == [last_good or "A"], said


# -- U-Boot ------------------------------------------------------------------------------------------------------------


def uboot(tmp_path: Path, script: str, files: dict[str, bytes]) -> str:
    binary = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")
    if not binary.exists():
        cannot_run("U-Boot for QEMU is not installed; run: sudo make peers (Debian package u-boot-qemu)")
    text = tmp_path / "boot.txt"
    text.write_text(script)
    subprocess.run(
        [need("mkimage"), "-A", "arm64", "-T", "script", "-C", "none", "-d", text, tmp_path / "boot.scr"],
        check=True, capture_output=True,
    )  # fmt: skip
    fat = tmp_path / "disk.fat"
    make_fat(fat, {**files, "boot.scr": (tmp_path / "boot.scr").read_bytes()})
    disk = tmp_path / "disk"
    head = bytearray(START * 512)
    head[446:512] = partition_table(fat)
    with disk.open("wb") as out:
        out.write(head)
        with fat.open("rb") as content:
            shutil.copyfileobj(content, out)
    return power_on(
        disk, need("qemu-system-aarch64"), "-M", "virt", "-cpu", "cortex-a53", "-bios", str(binary),
        "-device", "virtio-blk-device,drive=d", until="THE END",
    )  # fmt: skip


def as_uboot(state: BootState) -> str:
    values = uboot_env.unpack(uboot_env.encode(state, {}))
    return "".join(f'setenv {name} "{value}"\n' for name, value in values.items())


LOAD = "setenv slots_load 'fatload virtio 0:1 ${loadaddr} last_good.env'\n"


def test_uboot_chooses_and_counts_as_the_model_does_in_every_state(tmp_path):
    slots = (SCRIPTS / "slots.uboot").read_text()
    # The build for QEMU has nowhere to save to; that it is told to at all is what counts here.
    script = LOAD + "setenv slots_save 'setenv saved 1'\n"
    for number, state in enumerate(EVERY_STATE):
        script += as_uboot(state) + "setenv saved 0\n" + slots
        script += f'echo "R {number} ${{slot}} ${{BOOT_A_LEFT}} ${{BOOT_B_LEFT}} ${{saved}} ."\n'
    said = uboot(tmp_path, script + "echo THE END\n", {})
    found = {int(n): rest for n, rest in re.findall(r"R (\d+) (\w \d \d \d) \.", said)}
    expected = {}
    for number, state in enumerate(EVERY_STATE):
        chosen, after = power_up(state)
        left = [str(after.slots[n].tries_left) for n in SLOTS]
        expected[number] = " ".join([chosen, *left, str(int(after != state))])
    assert found == expected, said[-2000:]


@pytest.mark.parametrize("last_good", [*SLOTS, ""])
def test_uboot_without_its_environment_starts_the_slot_that_was_good_last(tmp_path, last_good):
    files = {"last_good.env": grub_block.pack({"LAST_GOOD": last_good})} if last_good else {}
    script = LOAD + (SCRIPTS / "slots.uboot").read_text() + 'echo "R ${slot} ."\necho THE END\n'
    said = uboot(tmp_path, script, files)
    assert re.findall(r"R (\w) \.", said) == [last_good or "A"], said


# -- the Raspberry Pi's boot.scr, which has that script in it --------------------------------------------------------------


def slot_script(tmp_path: Path) -> bytes:
    """In place of a slot's own: says what it was told."""
    text = tmp_path / "slot.txt"
    text.write_text('echo "R ${slot} ${folder} ${trial} ${mode} ."\necho THE END\n')
    script = tmp_path / "slot.scr"
    words = [need("mkimage"), "-A", "arm64", "-T", "script", "-C", "none", "-d", text, script]
    subprocess.run(words, check=True, capture_output=True)
    return script.read_bytes()


def here(script: str) -> str:
    """The script for QEMU's board: another disk, and memory that begins at 1 GiB."""
    return script.replace("mmc 0:1", "virtio 0:1").replace("0x05", "0x45")


def pi(tmp_path: Path, state: BootState | None, files: dict[str, bytes]) -> tuple[str, BootState | None]:
    """Run it with that state (None: lost); what the slot was told, and the state that was written down, if any was."""
    script = ("" if state is None else as_uboot(state)) + here(boot_script())
    said = uboot(tmp_path, script, {"uboot.env": b"\0" * uboot_env.SIZE, **files})
    found = re.findall(r"R (.*) \.", said)
    assert found, said[-2000:]
    try:
        return found[0], uboot_env.decode(uboot_env.unpack(read_back(tmp_path / "disk", "uboot.env")))
    except grub_block.Unreadable:
        return found[0], None


def both(tmp_path: Path) -> dict[str, bytes]:
    return {"a/boot.scr": slot_script(tmp_path), "b/boot.scr": slot_script(tmp_path)}


def test_the_pi_starts_a_good_slot_and_writes_nothing(tmp_path):
    assert pi(tmp_path, BootState(), both(tmp_path)) == ("A a 0 ", None)


def test_the_pi_writes_down_that_a_slot_on_trial_was_started(tmp_path):
    state = activate(begin_install(BootState(), "B"), "B")
    assert pi(tmp_path, state, both(tmp_path)) == ("B b 1 ", power_up(state)[1])


def test_the_pi_keeps_nothing_of_the_board_on_the_card(tmp_path):
    state = activate(begin_install(BootState(), "B"), "B")
    board = 'setenv ethaddr 02:00:00:00:00:01\nsetenv fdtfile some.dtb\nsetenv "serial#" 1\n'
    said = uboot(
        tmp_path,
        board + as_uboot(state) + here(boot_script()),
        {"uboot.env": b"\0" * uboot_env.SIZE, **both(tmp_path)},
    )
    assert "R B b 1" in said
    kept = uboot_env.unpack(read_back(tmp_path / "disk", "uboot.env"))
    assert set(kept) == set(uboot_env.unpack(uboot_env.encode(state, {})))


@pytest.mark.parametrize("last_good", SLOTS)
def test_the_pi_mends_an_environment_that_was_lost(tmp_path, last_good):
    files = both(tmp_path) | {"last_good.env": grub_block.pack({"LAST_GOOD": last_good})}
    assert pi(tmp_path, None, files) == (f"{last_good} {last_good.lower()} 0 ", lost(last_good))


def test_the_pi_starts_the_other_slot_when_the_files_of_one_are_gone(tmp_path):
    assert pi(tmp_path, BootState(), {"b/boot.scr": slot_script(tmp_path)})[0] == "B b 0 "


@pytest.mark.parametrize("name", ["safe-mode", "safe-mode.txt"])
def test_a_file_on_the_card_starts_the_pi_in_safe_mode(tmp_path, name):
    assert pi(tmp_path, BootState(), both(tmp_path) | {name: b""})[0] == "A a 0 timeball.safe=1"
