"""Bundles: what their signed part says, who signs, and (slow) that RAUC itself takes and refuses what it should."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path

import pytest

from appliance.boot.scheme import SLOTS
from appliance_updates import facts, verity
from appliance_updates.rules import from_rauc
from images.builder import bundle, rauc, spec, update_keys
from images.builder.errors import BuildError
from images.builder.progress import Progress
from images.builder.tools import tools
from tests.support.programs import cannot_run, need_root

ABOUT = {
    "compatible": "timeball-vm-amd64",
    "version": "1.2.3",
    "built": 1_800_000_000,
    "commit": "0123456789ab",
}


class Tools:
    """Writes down what was run; openssl's files appear."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, ...]] = []

    def run(self, *command, **_):
        self.ran.append(tuple(str(word) for word in command))
        for option in ("-keyout", "-out"):
            if option in command:
                Path(str(command[command.index(option) + 1])).write_text("-----BEGIN CERTIFICATE-----\n")


def test_the_manifest_says_what_the_box_wants_to_know():
    text = bundle.manifest(ABOUT, "1.0.0", "## 1.2.3\n\n- better", "chrony 4.6\n")
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert (values["compatible"], values["version"], values["minimum-from"]) == (
        "timeball-vm-amd64",
        "1.2.3",
        "1.0.0",
    )
    assert facts.unpacked(values["changes"]) == "## 1.2.3\n\n- better"
    assert facts.package_lines(facts.unpacked(values["packages"])) == {"chrony": "4.6"}


def test_no_key_of_the_manifest_is_without_a_value():
    assert "=\n" not in bundle.manifest(ABOUT, "", "x", "y")


def test_a_change_log_of_any_length_fits_into_the_signed_part():
    long = "\n".join(f"- change {n} {hash(n * 7919)}" for n in range(20_000))
    text = bundle.manifest(ABOUT, "", long, "")
    assert len(text) < 60_000
    assert facts.unpacked(bundle.packed(long, bundle.MOST_CHANGES)).startswith("- change 0 ")


@pytest.mark.parametrize("version", ["1.0\n[hooks]", "", "a b", "x" * 100])
def test_a_version_is_one_word(version):
    with pytest.raises(BuildError, match="cannot be a version"):
        bundle.manifest({**ABOUT, "version": version}, "", "", "")


def test_the_change_log_has_what_comes_next():
    assert bundle.changes().startswith("## New\n")


def test_packages_are_those_that_are_installed():
    status = (
        "Package: b\nStatus: install ok installed\nVersion: 2\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
        "Package: a\nStatus: install ok installed\nVersion: 1:3-4\n"
    )
    assert bundle.packages(status) == "a 1:3-4\nb 2\n"


@pytest.mark.parametrize("name", spec.names())
def test_rauc_knows_both_slots_of_every_image(name):
    image = spec.load(name)
    text = rauc.config(image)
    assert f"compatible={image.compatible}\n" in text
    for role, slot, folder in zip(("root-a", "root-b"), SLOTS, ("a", "b"), strict=True):
        partuuid = image.layout.role(role).partuuid(image.layout)
        assert f"device=/dev/disk/by-partuuid/{partuuid}\ntype=raw\nbootname={slot}\n" in text
        assert f"device=/boot/{folder}\n" in text


def test_a_key_for_development_is_made_once_and_says_what_it_is(tmp_path):
    kit = Tools()
    signer = update_keys.signer(tmp_path, kit, {})
    assert signer.development
    assert "(development)" in " ".join(kit.ran[0])
    update_keys.keyring(tmp_path, kit, {})
    assert len(kit.ran) == 1


def test_keys_come_from_outside(tmp_path):
    for name in ("key", "cert"):
        (tmp_path / name).write_text("-----BEGIN CERTIFICATE-----\n")
    named = {"TIMEBALL_UPDATE_KEY": str(tmp_path / "key"), "TIMEBALL_UPDATE_CERT": str(tmp_path / "cert")}
    kit = Tools()
    assert not update_keys.signer(tmp_path, kit, named).development
    assert update_keys.keyring(tmp_path, kit, {"TIMEBALL_UPDATE_KEYRING": str(tmp_path / "cert")}).startswith(
        b"-----BEGIN"
    )
    assert kit.ran == []
    token = {"TIMEBALL_UPDATE_KEY": "pkcs11:token=t", "TIMEBALL_UPDATE_CERT": str(tmp_path / "cert")}
    assert update_keys.signer(tmp_path, kit, token).key == "pkcs11:token=t"


@pytest.mark.parametrize(
    "named",
    [
        {"TIMEBALL_UPDATE_KEY": "/nowhere"},
        {"TIMEBALL_UPDATE_KEY": "/nowhere", "TIMEBALL_UPDATE_CERT": "/nowhere"},
    ],
)
def test_half_a_key_is_none(tmp_path, named):
    with pytest.raises(BuildError):
        update_keys.signer(tmp_path, Tools(), named)
    with pytest.raises(BuildError):
        update_keys.keyring(tmp_path, Tools(), {"TIMEBALL_UPDATE_KEYRING": "/nowhere"})


# -- with RAUC ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    need_root()
    cache = bundle.default_cache()
    if not list(cache.glob("tools-*")):
        cannot_run("the tools of images are not there; run: sudo make image-vm")
    work = tmp_path_factory.mktemp("bundles")
    return work, tools(cache, Progress(work / "logs"), (cache, work))


def rauc_says(kit, keyring, file):
    """What RAUC says of a bundle on an image that trusts `keyring`, and whether it takes it."""
    work, tree = kit
    config = work / "system.conf"
    config.write_text(
        f"[system]\ncompatible=timeball-vm-amd64\nbootloader=noop\n[keyring]\npath={keyring}\nuse-bundle-signing-time=true\n"
    )
    command = tree.command("rauc", f"--conf={config}", "info", "--output-format=json-2", file)
    done = subprocess.run(
        command,
        env=tree.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode == 0, done.stdout


def authority(kit, name):
    work, tree = kit
    key, certificate = work / f"{name}.key", work / f"{name}.pem"
    tree.run(
        *(
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
        ),
        *("-subj", f"/O=Timeball/CN={name}", "-keyout", key, "-out", certificate),
    )
    return key, certificate


@pytest.mark.slow
def test_rauc_takes_what_we_make_and_refuses_what_others_made_or_what_is_cut(kit, monkeypatch):
    work, tree = kit
    key, certificate = authority(kit, "release")
    _, stranger = authority(kit, "stranger")
    monkeypatch.setenv("TIMEBALL_UPDATE_KEY", str(key))
    monkeypatch.setenv("TIMEBALL_UPDATE_CERT", str(certificate))
    parts = work / "parts"
    (parts / "boot").mkdir(parents=True)
    (parts / "boot/vmlinuz").write_bytes(os.urandom(5000))
    (parts / "root.squashfs").write_bytes(os.urandom(3_000_000))
    (parts / bundle.ABOUT).write_text("".join(f"{k} = {v!r}\n" for k, v in ABOUT.items()))
    (parts / bundle.PACKAGES).write_text("chrony 4.6\n")
    folder = work / "make"
    folder.mkdir()
    made = work / "made.raucb"
    assert not bundle.bundle(parts, made, bundle.default_cache(), folder, tree, minimum="1.0.0")

    taken, said = rauc_says(kit, certificate, made)
    assert taken, said
    found = facts.bundle_of(said)
    assert (found.release.version, found.minimum, found.format) == ("1.2.3", "1.0.0", "verity")
    assert found.signer == "O = Timeball, CN = release"
    assert found.images["rootfs"][0] == 3_000_000
    assert found.verity is not None
    verity.check(made, found.verity.tree_bytes, found.verity.salt, found.verity.root)

    taken, said = rauc_says(kit, stranger, made)
    assert (taken, from_rauc(said).code) == (False, "wrong_signature")
    cut = work / "cut.raucb"
    cut.write_bytes(made.read_bytes()[:-5000])
    taken, said = rauc_says(kit, certificate, cut)
    assert (taken, from_rauc(said).code) == (False, "damaged")
    content = bytearray(made.read_bytes())
    content[1_000_000] ^= 1
    cut.write_bytes(content)
    with pytest.raises(verity.Damaged):
        verity.check(cut, found.verity.tree_bytes, found.verity.salt, found.verity.root)
    assert tomllib.loads((parts / bundle.ABOUT).read_text())["version"] == "1.2.3"
