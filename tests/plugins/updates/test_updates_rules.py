"""Which bundles are refused, before anything is touched, and in which words."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance_updates import verity, versions
from appliance_updates.allowed import same
from appliance_updates.facts import (
    NotABundle,
    Release,
    bundle_of,
    different,
    newer_than,
    package_lines,
    packed,
    unpacked,
)
from appliance_updates.rules import Box, from_rauc, refusals
from tests.plugins.updates.a_box import COMPATIBLE, NEW, OLD, rauc_info

BOX = Box(COMPATIBLE, OLD, True, 1 << 30, 1 << 28, 1 << 30, 1 << 20)


def codes(bundle, box=BOX, **wishes):
    found = refusals(bundle, box, **wishes)
    assert all(r.text and not r.text.endswith(".") for r in found)
    return [r.code for r in found]


def test_a_newer_release_for_this_board_is_taken():
    assert codes(bundle_of(rauc_info())) == []


def test_what_rauc_says_is_understood():
    bundle = bundle_of(rauc_info())
    assert (bundle.release, bundle.compatible, bundle.minimum) == (NEW, COMPATIBLE, "0.9.0")
    assert bundle.signer == "O = Timeball, CN = Timeball updates (development)"
    assert bundle.development
    assert bundle.images["rootfs"] == (303_104, "a3" * 32)
    assert bundle.packages == {"chrony": "4.6-3", "libssl3": "3.5.1"}
    assert newer_than(bundle.changes, "1.0.0") == "# Changes\n\n## 1.1.0\n\n- better"


@pytest.mark.parametrize(
    "said", ["", "{", "{}", "[1]", '{"update": 7}', "rauc-Message: {}", rauc_info()[:-20]]
)
def test_what_is_not_understood_is_no_bundle(said):
    with pytest.raises(NotABundle):
        bundle_of(said)


@given(st.text())
def test_hostile_words_of_rauc_are_no_bundle(said):
    with pytest.raises(NotABundle):
        bundle_of(said)


def test_another_board_is_refused_by_name():
    bundle = dataclasses.replace(bundle_of(rauc_info()), compatible="timeball-pi-arm64")
    (refusal,) = refusals(bundle, BOX)
    assert refusal.text == "it is for timeball-pi-arm64, and this box is a timeball-vm-amd64"
    assert "timeball-vm-amd64" in refusal.remedy


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        (Release("0.9.9", NEW.built), ["downgrade"]),
        (Release("1.0.0", OLD.built - 1), ["downgrade"]),
        (OLD, ["same"]),
        (Release("1.0.0", OLD.built + 1), []),
        (Release("1.0.0rc1", NEW.built), ["downgrade"]),
        (Release("nonsense", NEW.built), ["downgrade"]),
    ],
)
def test_older_and_equal_releases_are_refused_unless_asked_for(offered, expected):
    bundle = dataclasses.replace(bundle_of(rauc_info()), release=offered)
    assert codes(bundle) == expected
    assert codes(bundle, downgrade=True, again=True) == []


def test_a_release_that_needs_one_in_between_says_which():
    bundle = dataclasses.replace(bundle_of(rauc_info()), minimum="1.0.1")
    (refusal,) = refusals(bundle, BOX, downgrade=True, again=True)
    assert (refusal.code, refusal.remedy) == ("too_old", "install 1.0.1 first, then this one")


@pytest.mark.parametrize(
    ("box", "code"),
    [
        ({"slot_bytes": 1000}, "slot_too_small"),
        ({"boot_free_bytes": 1000}, "boot_full"),
        ({"data_free_bytes": 1 << 20}, "data_full"),
        ({"proved": False}, "not_proved"),
    ],
)
def test_no_room_and_nothing_to_come_back_to(box, code):
    assert codes(bundle_of(rauc_info()), dataclasses.replace(BOX, **box)) == [code]


def test_a_bundle_that_is_not_sealed_or_not_whole_is_refused():
    assert codes(bundle_of(rauc_info(bundle={"format": "plain"}))) == ["wrong_format"]
    assert codes(bundle_of(rauc_info(images=[]))) == ["incomplete"]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("Invalid bundle format: Signature size (6140428976350857670) exceeds bundle size", "damaged"),
        ("signature verification failed: Verify error: self-signed certificate", "wrong_signature"),
        ("signature verification failed: Verify error: certificate has expired", "expired"),
        ("something else\n", "unreadable"),
    ],
)
def test_what_rauc_refuses_is_said_in_words(said, code):
    refusal = from_rauc(f"rauc-Message: Reading bundle\n{said}")
    assert refusal.code == code
    assert refusal.remedy


VERSIONS = ["0.9", "1.0.dev1", "1.0a1", "1.0b2", "1.0rc1", "1.0", "1.0.1", "1.2", "1.10", "2.0"]


def test_versions_are_ordered_as_people_expect():
    keys = [versions.key(version) for version in VERSIONS]
    assert all(before < after for before, after in itertools.pairwise(keys))
    assert versions.key("1.0.0") == versions.key("1")
    assert versions.key("v1.2+debug") == versions.key("1.2")


@given(st.text(), st.text())
def test_any_two_texts_can_be_compared(one, two):
    assert (versions.key(one) < versions.key(two)) in (True, False)


@given(st.text(max_size=3000))
def test_texts_go_into_the_manifest_and_come_back(text):
    assert unpacked(packed(text)) == text


@given(st.text())
def test_what_is_not_packed_is_nothing(text):
    assert isinstance(unpacked(text), str)


def test_differences_of_packages():
    before, after = package_lines("a 1\nb 2\nbroken\n"), package_lines("b 3\nc 1\n")
    assert different(before, after) == [
        {"name": "a", "before": "1", "after": ""}, {"name": "b", "before": "2", "after": "3"},
        {"name": "c", "before": "", "after": "1"},
    ]  # fmt: skip


# -- every byte --------------------------------------------------------------------------------------------------------


def sealed(tmp_path, blocks):
    """A bundle of so many blocks, made by the definition of dm-verity: its path, tree size, salt, root."""
    salt = bytes(range(32))
    content = b"".join(bytes([n % 251]) * 4096 for n in range(blocks))
    level = [hashlib.sha256(salt + content[i : i + 4096]).digest() for i in range(0, len(content), 4096)]
    tree = b""
    while True:
        packed_level = b"".join(level)
        padded = packed_level.ljust(-(-len(packed_level) // 4096) * 4096, b"\0")
        tree = padded + tree
        level = [hashlib.sha256(salt + padded[i : i + 4096]).digest() for i in range(0, len(padded), 4096)]
        if len(level) == 1:
            break
    path = tmp_path / "b.raucb"
    path.write_bytes(content + tree + b"signature" + (9).to_bytes(8, "big"))
    return path, len(tree), salt.hex(), level[0].hex()


@pytest.mark.parametrize("blocks", [1, 2, 127, 128, 129, 300])
def test_a_bundle_that_is_whole_passes_and_one_wrong_byte_does_not(tmp_path, blocks):
    path, tree, salt, root = sealed(tmp_path, blocks)
    shares = []
    verity.check(path, tree, salt, root, shares.append)
    assert shares[-1] == 1.0
    content = bytearray(path.read_bytes())
    content[blocks * 4096 - 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(verity.Damaged, match="at least one byte differs"):
        verity.check(path, tree, salt, root)


@given(st.binary(max_size=5000))
def test_hostile_files_are_damaged(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("v") / "x"
    path.write_bytes(content)
    with pytest.raises(verity.Damaged):
        verity.check(path, 4096, "00", "11" * 32)


def test_only_what_was_checked_may_be_written():
    allowed = {"rootfs": "a3", "boot": "fd"}
    about = {
        "RAUC_IMAGE_CLASS_1": "rootfs",
        "RAUC_IMAGE_DIGEST_1": "a3",
        "RAUC_IMAGE_CLASS_2": "boot",
        "RAUC_IMAGE_DIGEST_2": "fd",
    }
    assert same(allowed, {**about, "PATH": "/bin"})
    assert not same(allowed, {**about, "RAUC_IMAGE_DIGEST_2": "fe"})
    assert not same(allowed, {k: v for k, v in about.items() if not k.endswith("_2")})
