"""What a card of the Raspberry Pi holds beside the system: U-Boot, its scripts, the block map, Imager's list."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.boot import uboot_env
from appliance.boot.scheme import BootState
from images.builder import spec
from images.builder.boot import raspberry, uboot
from images.builder.boot.uboot_binary import built_in, with_built_in
from images.builder.disk import first_sector
from images.builder.errors import BuildError
from images.builder.formats import bmap, imager

DEFAULTS = b"bootcmd=bootflow scan\0bootdelay=2\0baudrate=115200\0preboot=pci enum; usb start;\0stdin=serial,usbkbd\0\0\0"
BINARY = b"\x01\x02code\0%s%daddr\0not = a variable\n\0" + DEFAULTS + b"0123456789ABCDEF\0more=code\0"


# -- U-Boot's built-in environment ---------------------------------------------------------------------------------------------


def test_the_built_in_environment_is_told_apart_from_what_is_around_it():
    assert built_in(BINARY) == {
        "bootcmd": "bootflow scan",
        "bootdelay": "2",
        "baudrate": "115200",
        "preboot": "pci enum; usb start;",
        "stdin": "serial,usbkbd",
    }


def test_variables_change_and_the_binary_keeps_its_length_and_all_other_bytes():
    changed = with_built_in(BINARY, {"bootdelay": "-2", "preboot": ""})
    assert len(changed) == len(BINARY)
    assert built_in(changed) == {
        "bootcmd": "bootflow scan",
        "bootdelay": "-2",
        "baudrate": "115200",
        "stdin": "serial,usbkbd",
    }
    start = BINARY.index(b"bootcmd")
    end = BINARY.index(b"0123456789")
    assert changed[:start] == BINARY[:start]
    assert changed[end:] == BINARY[end:]


def test_too_much_for_the_block_is_refused():
    with pytest.raises(BuildError, match="room"):
        with_built_in(BINARY, {"bootcmd": "x" * 200})


@pytest.mark.parametrize("binary", [b"", b"nothing", BINARY + BINARY])
def test_a_binary_without_one_such_block_is_refused(binary):
    with pytest.raises(BuildError, match="built-in environment"):
        built_in(binary)


# -- scripts -------------------------------------------------------------------------------------------------------------------


def test_the_chooser_has_the_script_that_the_model_is_compared_with():
    text = uboot.boot_script()
    assert "@slots@" not in text
    assert (uboot.SCRIPTS / "slots.uboot").read_text() in text


def test_what_the_chooser_saves_is_what_the_running_system_writes():
    """A file that has less would leave U-Boot without its command; one that has more keeps facts of a board on the card."""
    text = uboot.boot_script()
    named = [name for line in re.findall(r'setenv \w+_names "([^"]+)"', text) for name in line.split()]
    assert len(named) + len(["env", "export", "-c", "-s", "0x4000", "place"]) <= 16, (
        "as many words as a command of U-Boot's takes"
    )
    assert sorted(named) == sorted(uboot_env.unpack(uboot_env.encode(BootState(), {})))
    assert not [line for line in text.splitlines() if "saveenv" in line and not line.startswith("#")]


def test_places_in_memory_do_not_overlap_with_the_largest_kernel_and_initramfs():
    text = (uboot.SCRIPTS / "slot.uboot").read_text()
    place = {name: int(value, 16) for name, value in re.findall(r"setenv (\w+_at) (0x[0-9a-f]+)", text)}
    order = sorted(place.items(), key=lambda item: item[1])
    room = {first[0]: second[1] - first[1] for first, second in itertools.pairwise(order)}
    assert room["kernel_at"] >= uboot.LARGEST_KERNEL
    assert place["initrd_at"] + uboot.LARGEST_INITRD <= 0x08000000, (
        "an emulated board's own device tree is there"
    )
    assert room["tree_at"] >= 256 * 1024
    assert max(place.values()) + 64 * 1024 * 1024 <= 384 * 1024 * 1024, "the Zero 2 W has that much"


@pytest.mark.parametrize("clock", sorted(raspberry.CLOCKS))
def test_hardware_txt_names_every_clock_chip_there_is_an_overlay_for(clock):
    assert re.search(rf"\b{clock}\b", (raspberry.FILES / "hardware.txt").read_text())


def test_hardware_txt_sets_nothing_until_somebody_takes_a_hash_away():
    lines = (raspberry.FILES / "hardware.txt").read_text().splitlines()
    assert all(not line or line.startswith("#") for line in lines)
    offered = {line[1:].partition("=")[0] for line in lines if re.match(r"#\w+=", line)}
    taken = re.search(r"env import -t -r \S+ \S+ ([\w ]+);", (uboot.SCRIPTS / "slot.uboot").read_text())
    assert taken
    assert offered == set(taken.group(1).split())


# -- the card ------------------------------------------------------------------------------------------------------------------


def test_a_pi_has_four_primary_partitions_and_the_roots_are_named_by_the_disks_signature():
    layout = spec.load("pi-arm64").layout
    assert [part.role for part in layout.partitions] == ["boot", "root-a", "root-b", "data"]
    assert layout.table == "mbr"
    assert layout.role("root-a").partuuid(layout) == "74626c01-02"
    assert layout.role("root-b").partuuid(layout) == "74626c01-03"


def test_both_images_for_arm_have_one_base():
    pi, machine = spec.load("pi-arm64"), spec.load("vm-arm64")
    assert (pi.packages, pi.pins, pi.suites, pi.users) == (
        machine.packages,
        machine.pins,
        machine.suites,
        machine.users,
    )


SMALL = spec.Layout(
    "mbr",
    "0x00000001",
    tuple(
        spec.Partition(role, role, 1, "", number)
        for number, role in enumerate(("boot", "root-a", "root-b", "data"), 1)
    ),
)
MIB = 1024 * 1024


def card(path, contents):
    """Four partitions of 1 MiB from the first MiB on, with bytes at their starts."""
    image = bytearray(5 * MIB)
    for number in range(4):
        image[446 + 16 * number + 8 : 446 + 16 * number + 12] = ((number + 1) * 2048).to_bytes(4, "little")
    for number, content in enumerate(contents, 1):
        image[number * MIB : number * MIB + len(content)] = content
    path.write_bytes(image)
    return bytes(image)


def test_a_partition_begins_where_the_table_says(tmp_path):
    card(tmp_path / "card", [])
    assert first_sector(tmp_path / "card", SMALL, "root-b") == 3 * 2048


def test_only_what_no_file_system_relies_on_is_left_out_of_the_map(tmp_path):
    # A hole in the middle of a partition is written: free entries of a FAT are zeros.
    boot = b"x" * 4096 + bytes(8192) + b"y"
    image = card(tmp_path / "card", [boot, b"z" * 5000])
    found = bmap.ranges(tmp_path / "card", SMALL)
    assert [(each.first, each.last) for each in found] == [(0, 0), (256, 259), (512, 513)]
    assert found[1].sha256 == hashlib.sha256(image[256 * 4096 : 260 * 4096]).hexdigest()


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 1000)), max_size=6), st.integers(1, 2**40))
def test_the_map_is_xml_whose_checksum_is_right_and_that_counts_its_blocks(spans, size):
    ranges = [bmap.Range(first, first + more, "ab" * 32) for first, more in spans]
    text = bmap.document(size, ranges)
    tree = ET.fromstring(text)
    stated = tree.findtext("BmapFileChecksum", "").strip()
    assert hashlib.sha256(text.replace(stated, "0" * 64).encode()).hexdigest() == stated
    assert int(tree.findtext("MappedBlocksCount", "")) == sum(more + 1 for _, more in spans)
    assert len(tree.findall("BlockMap/Range")) == len(spans)


# -- Imager's list -------------------------------------------------------------------------------------------------------------

CARD = imager.Card(
    "Timeball for Raspberry Pi",
    "1.2.3",
    1795000000,
    "https://example.org/timeball.img.xz",
    "https://example.org/timeball.svg",
    "https://example.org/timeball.img.bmap",
    1000,
    2000,
    "0" * 64,
)


def test_the_list_says_how_settings_are_handed_over_and_what_the_image_unpacks_to():
    listed = imager.document(CARD)
    assert imager.problems(listed) == []
    (entry,) = listed["os_list"]
    assert entry["init_format"] == "cloudinit"
    assert (entry["extract_size"], entry["image_download_size"]) == (2000, 1000)
    assert entry["devices"] == ["pi5-64bit", "pi4-64bit", "pi3-64bit"]
    assert entry["release_date"] == "2026-11-18"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            (name, None)
            for name in ("name", "description", "icon", "url", "extract_size", "extract_sha256", "devices")
        ),
        ("extract_sha256", "ABC"),
        ("extract_size", 0),
        ("extract_size", True),
        ("image_download_size", "1000"),
        ("release_date", "18.11.2026"),
        ("init_format", "cloud-init"),
        ("devices", []),
        ("devices", ["pi1-32bit"]),
    ],
)
def test_an_entry_that_imager_would_not_take_is_told(field, value):
    listed = imager.document(CARD)
    if value is None:
        del listed["os_list"][0][field]
    else:
        listed["os_list"][0][field] = value
    assert [what for what in imager.problems(listed) if field in what]


@pytest.mark.parametrize("listed", [None, [], {}, {"os_list": {}}, {"os_list": []}])
def test_what_is_no_list_is_told(listed):
    assert imager.problems(listed)


def test_a_title_of_nothing_is_told():
    assert imager.problems(imager.document(dataclasses.replace(CARD, title="")))
