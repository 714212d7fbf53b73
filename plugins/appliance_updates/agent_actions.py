"""What of updates needs root's rights: looking into bundles and sticks, writing the other slot, choosing a slot. The agent runs these."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from appliance.api.agent import Action, AgentRefusal, Arguments, Call
from appliance.api.cli import Admin, Failure
from appliance.boot.keeping import BootPartition, NoState
from appliance.boot.scheme import SLOTS, BootState, activate, mark_bad, mark_good, other
from appliance_updates import facts, here, rauc, record, rules, snapshots, sticks, verity
from appliance_updates.facts import Bundle, Release
from appliance_updates.proving import faults
from appliance_updates.record import Event, Pending

_STICK = re.compile(r"stick:([a-z][a-z0-9]{1,15})/([^/\0]{1,200}\.raucb)", re.IGNORECASE)


class File(Arguments):
    """Which bundle.

    Attributes:
        file: an absolute path, or "stick:sdb1/NAME" for one on a stick.
        allow_downgrade: an older release is wanted.
        again: the same release is wanted once more.
    """

    file: str = Field(min_length=1, max_length=1000)
    allow_downgrade: bool = False
    again: bool = False


class Folders(Arguments):
    """Where else to look for bundles."""

    folders: tuple[str, ...] = Field((), max_length=8)


class Back(Arguments):
    """Start the other slot next.

    Attributes:
        keep_data: leave database and settings as they are.
        unproved: also when that system is not marked good.
    """

    keep_data: bool = False
    unproved: bool = False


class Mark(Arguments):
    """What to say of a slot."""

    slot: Literal["A", "B"]
    state: Literal["good", "bad"]


class Seen(Arguments):
    """Nothing more."""


def status(call: Call, arguments: Arguments) -> Mapping[str, Any]:
    """Both slots, what was begun, and what came of the last updates."""
    image = _image(call)
    partition = _partition(call)
    state, guessed = partition.read()
    found = record.load(call.root)
    found.installed[image.slot] = image.release
    return {
        "image": {"compatible": image.compatible, "slot": image.slot, **image.release.as_dict()},
        "loader": partition.loader,
        "guessed": guessed,
        "slots": [
            {
                "name": name, "running": name == image.slot, "next": name == _next(state), "good": state.slots[name].good,
                "starts": state.slots[name].starts, "tries_left": state.slots[name].tries_left,
                "last_good": state.last_good == name,
                "release": r.as_dict() if (r := found.installed.get(name)) else None,
            }
            for name in SLOTS
        ],
        "pending": None if found.pending is None else asdict(found.pending),
        "history": [asdict(event) for event in found.history],
        "snapshots": snapshots.names(call.root),
    }  # fmt: skip


def _next(state: BootState) -> str:
    return next((name for name in state.order if state.slots[name].starts), state.last_good)


def find(call: Call, arguments: Folders) -> Mapping[str, Any]:
    """Bundles on sticks and in folders, by name alone: nothing is opened."""
    _image(call)
    found, wrong = [], []
    for name in sticks.partitions(call.root):
        try:
            with sticks.mounted(call, name) as folder:
                found += [
                    {
                        "file": f"stick:{name}/{path.name}",
                        "name": path.name,
                        "bytes": path.stat().st_size,
                        "where": f"stick {name}",
                    }
                    for path in sticks.bundles(folder)
                ]
        except AgentRefusal as refusal:
            wrong.append(refusal.message)
    for text in arguments.folders:
        found += [
            {
                "file": f"{text.rstrip('/')}/{path.name}",
                "name": path.name,
                "bytes": path.stat().st_size,
                "where": text,
            }
            for path in sticks.bundles(call.path(text))
        ]
    return {"found": found, "wrong": wrong}


def check(call: Call, arguments: File) -> Mapping[str, Any]:
    """What a bundle brings, and everything that speaks against it."""
    image = _image(call)
    with _opened(call, arguments.file) as file:
        bundle = rauc.look(call, file)
        against = _against(call, image, bundle, arguments)
        if not against:
            against = _sealed(call, file, bundle)
        return {
            "bundle": told(bundle, image.release, here.packages(call.root)),
            "refusals": [r.as_dict() for r in against],
        }


def told(bundle: Bundle, running: Release, packages: Mapping[str, str]) -> dict[str, Any]:
    """A bundle, for programs and pages."""
    return {
        **bundle.release.as_dict(), "compatible": bundle.compatible, "minimum": bundle.minimum, "signer": bundle.signer,
        "development": bundle.development, "changes": facts.newer_than(bundle.changes, running.version),
        "packages": facts.different(packages, bundle.packages) if bundle.packages else [],
        "bytes": sum(size for size, _ in bundle.images.values()),
    }  # fmt: skip


def _against(call: Call, image: here.Image, bundle: Bundle, wanted: File) -> list[rules.Refusal]:
    state, _ = _partition(call).read()
    box = rules.Box(
        image.compatible, image.release, state.slots[image.slot].good, _slot_bytes(call),
        shutil.disk_usage(call.path("/boot")).free, shutil.disk_usage(call.path("/data")).free, snapshots.size(call.root),
    )  # fmt: skip
    return rules.refusals(bundle, box, downgrade=wanted.allow_downgrade, again=wanted.again)


def _sealed(call: Call, file: Path, bundle: Bundle) -> list[rules.Refusal]:
    """Read all of it once: a bad byte shall be found now, and not in the middle."""
    assert bundle.verity is not None  # the rules have refused any other
    seal = bundle.verity
    call.progress({"done": 0.0, "doing": "Checking every byte of the bundle"})
    last = [0.0]

    def told(share: float) -> None:
        if share - last[0] >= 0.02:
            last[0] = share
            call.progress({"done": share, "doing": "Checking every byte of the bundle"})

    try:
        verity.check(file, seal.tree_bytes, seal.salt, seal.root, told)
    except (verity.Damaged, OSError) as why:
        return [rules.Refusal("damaged", f"it is damaged: {why}", "copy or download it again")]
    return []


def install(call: Call, arguments: File) -> Mapping[str, Any]:
    """Check, keep database and settings, write the other slot, and have it started next. The box is not restarted."""
    image = _image(call)
    with _opened(call, arguments.file) as file:
        bundle = rauc.look(call, file)
        against = _against(call, image, bundle, arguments) or _sealed(call, file, bundle)
        if against:
            raise AgentRefusal(against[0].code, against[0].text, against[0].remedy)
        target = other(image.slot)
        call.progress({"done": 0.0, "doing": "Keeping a copy of database and settings"})
        pending = Pending(
            "update", target, image.slot, image.release, bundle.release, "writing", here.boot_id(call.root), _now_s(),
            snapshot=_keep(call, image.release), faults=_faults(call),
        )  # fmt: skip
        found = record.load(call.root)
        found.pending = pending
        found.installed[image.slot] = image.release
        found.installed.pop(target, None)
        record.save(call.root, found)
        with _partition(call).writable():
            # Where RAUC looks for it; a power cut in an earlier installation may have left it without.
            call.path(f"/boot/{target.lower()}").mkdir(exist_ok=True)
        try:
            rauc.install(call, file, bundle)
        except AgentRefusal as refusal:
            found.pending = None
            found.add(Event("failed", _now_s(), image.release, bundle.release, [refusal.message]))
            record.save(call.root, found)
            raise
    pending.stage = "written"
    found.installed[target] = bundle.release
    record.save(call.root, found)
    snapshots.prune(call.root, {pending.snapshot})
    return {"slot": target, **bundle.release.as_dict(), "snapshot": pending.snapshot}


def back(call: Call, arguments: Back) -> Mapping[str, Any]:
    """Have the system in the other slot started next, with the data that it left."""
    image = _image(call)
    partition, found = _partition(call), record.load(call.root)
    state, _ = partition.read()
    target = other(image.slot)
    release = found.installed.get(target)
    if release is None:
        raise AgentRefusal("empty_slot", f"there is no system in slot {target}", "install an update first")
    if not state.slots[target].good and not arguments.unproved:
        raise AgentRefusal(
            "not_proved", f"{release} in slot {target} is not marked good: it never proved itself here, or failed to start",
            "to start it all the same, say so (--unproved); it gets three starts, then this one is back",
        )  # fmt: skip
    name = snapshot_name(release)
    # A release that was written once more understands today's data, and its own snapshot is made anew now.
    there = name in snapshots.names(call.root) and release != image.release and not arguments.keep_data
    call.progress({"done": 0.0, "doing": "Keeping a copy of database and settings"})
    found.installed[image.slot] = image.release
    found.pending = Pending(
        "back", target, image.slot, image.release, release, "written", here.boot_id(call.root), _now_s(),
        snapshot=_keep(call, image.release), restore=name if there else "", faults=_faults(call),
    )  # fmt: skip
    record.save(call.root, found)
    partition.change(lambda now: activate(now, target))
    return {"slot": target, **release.as_dict(), "restores": name if there else ""}


def stay(call: Call, arguments: Arguments) -> Mapping[str, Any]:
    """Take back what would be started next: the system that runs stays."""
    image = _image(call)
    found = record.load(call.root)
    if found.pending is None or found.pending.stage != "written" or found.pending.slot == image.slot:
        raise AgentRefusal("nothing_waits", "no other system waits for a restart")
    kind = found.pending.kind
    _partition(call).change(lambda now: activate(now, image.slot))
    found.pending = None
    record.save(call.root, found)
    return {"slot": image.slot, "was": kind}


def mark(call: Call, arguments: Mark) -> Mapping[str, Any]:
    """Say of a slot that it is good, or that it shall not be started."""
    image = _image(call)
    partition = _partition(call)
    state, _ = partition.read()
    if arguments.state == "bad" and not state.slots[other(arguments.slot)].good:
        raise AgentRefusal(
            "would_strand", f"slot {other(arguments.slot)} is not good: nothing would be left to start"
        )
    if arguments.state == "good" and arguments.slot != image.slot:
        raise AgentRefusal("not_running", "only the system that runs can be called good")
    step = mark_good if arguments.state == "good" else mark_bad
    partition.change(lambda now: step(now, arguments.slot))
    return {"slot": arguments.slot, "state": arguments.state}


def seen(call: Call, arguments: Arguments) -> Mapping[str, Any]:
    """A person has read what came of the last update."""
    found = record.load(call.root)
    for event in found.history:
        event.seen = True
    record.save(call.root, found)
    return {"seen": len(found.history)}


def snapshot_name(release: Release) -> str:
    """Of what a release leaves."""
    plain = re.sub(r"[^A-Za-z0-9.+-]", "-", release.version)[:60]
    return f"{plain}-{release.commit[:12] or release.built}"


def _keep(call: Call, release: Release) -> str:
    try:
        return snapshots.take(call.root, snapshot_name(release))
    except snapshots.CannotKeep as why:
        raise AgentRefusal("no_snapshot", str(why), "see `timeball doctor` for the disk") from None


def _faults(call: Call) -> list[str]:
    """What the doctor calls failing now; an appliance that does not run has nothing to say."""
    try:
        return faults(Admin(call.path("/var/lib/timeball/admin.sock")).get("/api/v1/doctor")["checks"])
    except (Failure, KeyError, TypeError):
        return []


@contextlib.contextmanager
def _opened(call: Call, name: str) -> Iterator[Path]:
    """The bundle's file, where every process of the system finds it.

    Raises:
        AgentRefusal: there is none.
    """
    stick = _STICK.fullmatch(name)
    if stick:
        if stick[1] not in sticks.partitions(call.root):
            raise AgentRefusal("missing", f"there is no stick {stick[1]} any more", "plug it in again")
        with sticks.mounted(call, stick[1]) as folder:
            yield _plain_file(folder / stick[2])
        return
    if not name.startswith("/") or not name.lower().endswith(sticks.ENDING):
        raise AgentRefusal("missing", f"a bundle is named by its whole path and ends in {sticks.ENDING}")
    yield _plain_file(call.path(name))


def _plain_file(path: Path) -> Path:
    if not path.is_file():
        raise AgentRefusal(
            "missing", f"there is no file {path.name}", "see `timeball update check` for what is there"
        )
    return path


def _image(call: Call) -> here.Image:
    image = here.image(call.root)
    if image is None:
        raise AgentRefusal("not_an_image", "this is not an image of ours: apt brings updates here")
    if not image.slot:
        raise AgentRefusal("no_slot", "the boot loader did not say which of the two systems runs")
    return image


def _partition(call: Call) -> BootPartition:
    partition = (
        BootPartition()
        if call.root == Path("/")
        else BootPartition(call.path("/boot"), mounted=False, lock=call.path("/lock"))
    )
    try:
        partition.read()
    except NoState as why:
        raise AgentRefusal(
            "no_boot_loader", str(why), "this box was not started by the image's own boot loader"
        ) from None
    return partition


def _slot_bytes(call: Call) -> int:
    """Room in the other slot: as much as in the one that runs."""
    about = call.root.stat().st_dev
    size = call.path(f"/sys/dev/block/{os.major(about)}:{os.minor(about)}/size")
    try:
        return int(size.read_text(encoding="ascii")) * 512
    except (OSError, ValueError):
        raise AgentRefusal("no_slot", "the size of the slots cannot be found out") from None


def _now_s() -> float:
    return time.time()  # noqa: TID251 - the agent has no host, and so no clock of its


ACTIONS = (
    Action("updates.status", "Both slots, and what came of updates", status, image_only=True, together=True),
    Action("updates.find", "Look for bundles on sticks", find, Folders, image_only=True),
    Action(
        "updates.check", "Whether a bundle may be installed, and what it brings", check, File, image_only=True
    ),
    Action("updates.install", "Write a bundle to the other slot", install, File, image_only=True),
    Action("updates.back", "Have the other slot started next", back, Back, image_only=True),
    Action("updates.stay", "Have the slot that runs started next", stay, image_only=True),
    Action("updates.mark", "Mark a slot good or bad", mark, Mark, image_only=True),
    Action(
        "updates.seen",
        "Note that a person has read what came of updates",
        seen,
        image_only=True,
        together=True,
    ),
)
