"""Whether a bundle may be installed on this box, decided before anything is touched. Pure: facts in, refusals out."""

from __future__ import annotations

from dataclasses import dataclass

from appliance_updates import versions
from appliance_updates.facts import Bundle, Release

_MB = 1_000_000
#: Left free on the data partition whatever an update wants.
SPARE_BYTES = 64 * _MB


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not.

    Attributes:
        code: stable word for programs.
        text: what is wrong, for people.
        remedy: what they can do.
    """

    code: str
    text: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        return {"code": self.code, "text": self.text, "remedy": self.remedy}


@dataclass(frozen=True, slots=True)
class Box:
    """What the rules want to know of this box.

    Attributes:
        compatible: of its image.
        running: the release that runs.
        proved: whether the slot that runs is marked good.
        slot_bytes: room in the other slot.
        boot_free_bytes: on the boot partition.
        data_free_bytes: on the data partition.
        snapshot_bytes: that a copy of database and settings takes.
    """

    compatible: str
    running: Release
    proved: bool
    slot_bytes: int
    boot_free_bytes: int
    data_free_bytes: int
    snapshot_bytes: int


def refusals(bundle: Bundle, box: Box, *, downgrade: bool = False, again: bool = False) -> list[Refusal]:
    """Everything that speaks against it; nothing: it may be installed.

    Args:
        bundle: whose signature was verified.
        box: this one.
        downgrade: a person wants an older release.
        again: a person wants the same release once more.
    """
    found = []
    if bundle.compatible != box.compatible:
        found.append(Refusal(
            "wrong_board", f"it is for {bundle.compatible}, and this box is a {box.compatible}",
            f"take the bundle whose name begins with {box.compatible}",
        ))  # fmt: skip
    if bundle.format != "verity" or bundle.verity is None:
        found.append(Refusal("wrong_format", f'its format is "{bundle.format}", and "verity" alone is taken'))
    found += _version(bundle, box.running, downgrade=downgrade, again=again)
    if not box.proved:
        found.append(Refusal(
            "not_proved", "the system that runs has not proved itself yet; if the new one failed there would be nothing to come back to",
            "wait until it is marked good, a few minutes after a start; `timeball doctor` says what keeps it from that",
        ))  # fmt: skip
    return found + _room(bundle, box)


def _version(bundle: Bundle, running: Release, *, downgrade: bool, again: bool) -> list[Refusal]:
    offered = bundle.release
    if bundle.minimum and versions.key(running.version) < versions.key(bundle.minimum):
        return [Refusal(
            "too_old", f"{offered} can be installed from {bundle.minimum} on, and {running} runs here",
            f"install {bundle.minimum} first, then this one",
        )]  # fmt: skip
    before, after = (
        (versions.key(r.version), r.built) for r in (running, offered)
    )  # of one version the build that was made later is the newer one
    if after < before and not downgrade:
        what = f"version {offered}" if offered.version != running.version else f"an older build of {offered}"
        return [Refusal(
            "downgrade", f"it is {what}, and {running} runs here: data that a newer release has written may be lost",
            "to go back to the release before, use the other slot (timeball update rollback); to install an older one "
            "anyway, say so (--allow-downgrade)",
        )]  # fmt: skip
    if offered == running and not again:
        return [Refusal(
            "same", f"{offered} is what runs here already", "to install it once more, say so (--again)"
        )]  # fmt: skip
    return []


def _room(bundle: Bundle, box: Box) -> list[Refusal]:
    found = []
    root, _ = bundle.images.get("rootfs", (0, ""))
    boot, _ = bundle.images.get("boot", (0, ""))
    if not root or not boot:
        found.append(Refusal("incomplete", "it has no system or no boot files in it", "download it again"))
    if root > box.slot_bytes:
        found.append(Refusal(
            "slot_too_small", f"the system takes {_mb(root)}, and the slot has room for {_mb(box.slot_bytes)}",
            "this release needs a new card: take a backup, write the new image, restore the backup",
        ))  # fmt: skip
    if boot > box.boot_free_bytes:
        found.append(Refusal(
            "boot_full", f"its kernel takes {_mb(boot)}, and the boot partition has {_mb(box.boot_free_bytes)} free",
            "remove files of your own from the boot partition",
        ))  # fmt: skip
    wanted = box.snapshot_bytes + SPARE_BYTES
    if wanted > box.data_free_bytes:
        found.append(Refusal(
            "data_full", f"a copy of database and settings takes {_mb(wanted)}, and the data partition has "
            f"{_mb(box.data_free_bytes)} free", "delete uploaded bundles, captures or old snapshots, or keep less history",
        ))  # fmt: skip
    return found


def _mb(size: int) -> str:
    return f"{size / _MB:,.0f} MB"


#: What RAUC and OpenSSL say, and what it means for a person: (part of it, code, text, remedy).
_SAID = (
    ("Invalid bundle format", "damaged", "it is no bundle, or not all of it is there", "download it again; compare its SHA-256 with the published one"),
    ("exceeds bundle size", "damaged", "not all of it is there", "download it again; compare its SHA-256 with the published one"),
    ("certificate has expired", "expired", "the certificate that signed it had expired", "take a newer bundle"),
    ("certificate is not yet valid", "not_yet", "the certificate that signed it is not valid yet: is the clock right?", "see `timeball clock`, then try again"),
    ("signature verification failed", "wrong_signature", "it is not signed by a key that this image trusts", "take the bundle from where the image came from"),
    ("No such file", "missing", "there is no such file", "see `timeball update check` for what is there"),
)  # fmt: skip


def from_rauc(said: str) -> Refusal:
    """Why RAUC did not take a bundle, in words."""
    for part, code, text, remedy in _SAID:
        if part in said:
            return Refusal(code, text, remedy)
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "nothing")
    return Refusal("unreadable", f"RAUC does not take it and says: {last[:300]}", "download it again")
