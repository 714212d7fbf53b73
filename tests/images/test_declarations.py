"""The declarative files of images parse, and what they name is there: no build, no root."""

from __future__ import annotations

import re
import subprocess
import tomllib
from xml.etree import ElementTree as ET

import pytest

from images.builder import spec
from images.builder.errors import BuildError
from images.builder.formats import ova
from images.builder.system import Release
from tests.support.tree import ROOT

IMAGES = ROOT / "images"
NAMES = spec.names()
SPECS = {name: spec.load(name) for name in NAMES}
KEPT = [
    line.split()
    for line in (IMAGES / "files/common/usr/lib/timeball/kept").read_text().splitlines()
    if line and not line.startswith("#")
]
SCRIPTS = [
    path
    for path in sorted(IMAGES.glob("files/**/*"))
    if path.is_file() and ("initramfs-tools" in path.parts and "conf.d" not in path.parts)
]


def table(name: str) -> dict:
    return tomllib.loads((IMAGES / f"{name}.toml").read_text())


# -- declarations ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_an_image_says_which_it_is(name):
    image = SPECS[name]
    assert image.id == f"timeball-{name}"
    assert image.compatible.startswith("timeball-")
    assert image.architecture == name.rsplit("-", 1)[-1]


def test_no_two_images_share_an_identity_of_a_disk():
    """Two boxes' disks in one machine are told apart."""
    seen = [image.layout.disk_id for image in SPECS.values()]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("name", NAMES)
def test_slots_are_of_one_size_and_data_is_last(name):
    layout = SPECS[name].layout
    assert layout.role("root-a").size_mib == layout.role("root-b").size_mib
    assert layout.partitions[-1].role == "data"


@pytest.mark.parametrize("name", NAMES)
def test_a_kernel_that_dies_starts_again(name):
    arguments = SPECS[name].arguments
    assert "ro" in arguments
    assert any(re.fullmatch(r"panic=[1-9]\d*", each) for each in arguments)
    assert "rootwait" not in arguments, "it would wait for ever instead of giving the other slot its turn"


@pytest.mark.parametrize("name", NAMES)
def test_units_of_ours_that_an_image_enables_exist(name):
    there = {path.name for path in (ROOT / "packaging/systemd").iterdir()}
    there |= {path.name for path in IMAGES.glob("files/*/usr/lib/systemd/system/*")}
    for unit in (*SPECS[name].enable, *SPECS[name].enable_if_there):
        if unit.startswith("timeball"):
            template = re.sub(r"@[^.]+", "@", unit)
            assert {unit, template} & there, f"{unit} is neither in packaging/systemd nor in images/files"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_both_enabled_and_masked(name):
    image = SPECS[name]
    assert not {*image.enable, *image.enable_if_there} & set(image.mask)


def test_no_address_of_an_archive_is_declared():
    for path in [*IMAGES.rglob("*.toml"), *IMAGES.rglob("*.py")]:
        assert not re.search(r"https?://[^ \"]*debian\.org", path.read_text()), path


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("architecture", "mips", "architecture: expected one of amd64, arm64"),
        ("boot", "lilo", "boot: expected one of"),
        ("formats", ["floppy"], "formats: expected some of"),
        ("id", "other", "id: expected timeball-"),
        ("title", 7, "title: expected"),
    ],
)
def test_a_wrong_declaration_is_told_with_file_and_key(key, value, said):
    merged = spec._merged(IMAGES / "vm-amd64.toml") | {key: value}
    with pytest.raises(BuildError, match=f"vm-amd64.toml: {said}"):
        spec.parse(merged, IMAGES / "vm-amd64.toml")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p.reverse(), "data as the last one"),
        (lambda p: p.pop(2), "boot, root-a, root-b"),
        (lambda p: p[1].update(id=""), "a fixed UUID"),
        (lambda p: p[1].update(size_mib=0), "size_mib"),
        (lambda p: p[1].update(role="root-a"), "at most once"),
    ],
)
def test_a_layout_that_cannot_be_updated_is_refused(change, said):
    merged = spec._merged(IMAGES / "vm-amd64.toml")
    partitions = [dict(each) for each in merged["layout"]["partition"]]
    change(partitions)
    merged["layout"] = merged["layout"] | {"partition": partitions}
    with pytest.raises(BuildError, match=said):
        spec.parse(merged, IMAGES / "vm-amd64.toml")


def test_an_image_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(BuildError, match=r"There are: .*vm-amd64"):
        spec.load("vm-vax")


# -- what is kept ------------------------------------------------------------------------------------------------------------


def test_what_is_kept_has_owners_with_fixed_numbers():
    for _, _, mode, owner, _ in KEPT:
        user, _, group = owner.partition(":")
        assert re.fullmatch(r"[0-7]{4}", mode)
        for image in SPECS.values():
            assert user == "root" or user in image.users
            assert group == "root" or group in image.users or group in image.groups


def test_what_is_kept_is_named_once_and_lies_where_the_design_says():
    sources = [source for source, *_ in KEPT]
    seen = [target for _, target, *_ in KEPT if target != "-"]
    assert len(set(sources)) == len(sources)
    assert len(set(seen)) == len(seen)
    assert {"timeball", "etc/timeball", "chrony", "journal", "box"} <= set(sources)
    assert {"/var/lib/timeball", "/etc/timeball", "/var/lib/chrony", "/var/log/journal"} == set(seen)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(IMAGES)))
def test_scripts_of_the_initramfs_are_sh(path):
    subprocess.run(["sh", "-n", path], check=True)
    if "scripts" in path.parts or "hooks" in path.parts:
        assert path.stat().st_mode & 0o100, f"{path} is not executable: initramfs-tools would pass it by"


# -- OVA ---------------------------------------------------------------------------------------------------------------------


def test_the_description_of_the_virtual_machine_states_uefi_and_one_disk():
    text = ova.envelope(SPECS["vm-amd64"], "1.2.3", "disk.vmdk", 1234, 5 << 30)
    root = ET.fromstring(text)
    ovf, vmw, rasd = (f"{{{address}}}" for address in (ova.OVF, ova.VMW, ova.RASD))
    assert [f.get(f"{ovf}href") for f in root.iter(f"{ovf}File")] == ["disk.vmdk"]
    (disk,) = root.iter(f"{ovf}Disk")
    assert (disk.get(f"{ovf}capacity"), disk.get(f"{ovf}fileRef")) == (str(5 << 30), "file1")
    firmware = {c.get(f"{vmw}key"): c.get(f"{vmw}value") for c in root.iter(f"{vmw}Config")}
    assert firmware["firmware"] == "efi"
    for item in root.iter(f"{ovf}Item"):
        names = [child.tag.removeprefix(rasd) for child in item]
        assert names == sorted(names)
        assert {"InstanceID", "ResourceType", "ElementName"} <= set(names)


def test_a_release_says_what_it_is_in_toml():
    image = SPECS["vm-amd64"]
    told = tomllib.loads(Release("1.2.3", "abcdef", 1_700_000_000, "0123").toml(image))
    assert told == {
        "id": "timeball-vm-amd64",
        "version": "1.2.3",
        "built": 1_700_000_000,
        "compatible": "timeball-vm-amd64",
        "commit": "abcdef",
        "build": "0123",
    }
