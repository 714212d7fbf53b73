"""The scheme of two slots: whatever happens in whatever order, something that works is started, and what was good is not counted."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.boot import backend, grub_block, uboot_env
from appliance.boot.grub_block import Unreadable
from appliance.boot.keeping import LAST_GOOD, BootPartition, NoState, running_slot
from appliance.boot.scheme import (
    SLOTS,
    TRIES,
    BootState,
    Slot,
    WouldStrand,
    activate,
    begin_install,
    lost,
    mark_bad,
    mark_good,
    other,
    power_up,
)

slot = st.builds(Slot, st.integers(0, TRIES), st.just(value=False)) | st.just(Slot(TRIES, good=True))
states = st.builds(
    lambda order, a, b, last: BootState(order, {"A": a, "B": b}, last),
    st.sampled_from([("A", "B"), ("B", "A")]), slot, slot, st.sampled_from(SLOTS),
)  # fmt: skip


@dataclasses.dataclass
class Box:
    """A machine: what the boot loader keeps, and what really lies in each slot."""

    state: BootState = dataclasses.field(default_factory=BootState)
    works: dict[str, bool] = dataclasses.field(default_factory=lambda: {"A": True, "B": False})
    running: str = ""

    def start(self) -> None:
        """Power on, until a system that works is up. Each start that panics restarts the machine."""
        for _ in range(2 * TRIES + 1):
            good = {name for name in SLOTS if self.state.slots[name].good}
            chosen, after = power_up(self.state)
            for name in good:
                assert after.slots[name] == self.state.slots[name], f"{name} was good and is counted down"
            self.state = after
            if self.works[chosen]:
                self.running = chosen
                return
        raise AssertionError(f"nothing works any more: {self}")


happenings = st.lists(
    st.sampled_from(
        [
            "install works",
            "install broken",
            "cut while writing",
            "cut before active",
            "good",
            "bad",
            "back",
            "power",
        ]
    ),
    max_size=40,
)


@settings(max_examples=600)
@given(happenings)
def test_no_order_of_updates_panics_marks_and_power_cuts_ends_without_a_system_that_starts(happens):
    box = Box()
    box.start()
    for what in happens:
        target = other(box.running)
        if what == "good":
            box.state = mark_good(box.state, box.running)
        elif what == "bad":
            box.state = mark_bad(box.state, box.running)
        elif what == "back":
            if box.state.slots[target].good:  # the only one that people may choose without being warned
                box.state = activate(box.state, target)
        elif what != "power":
            try:
                box.state = begin_install(box.state, target)
            except WouldStrand:
                assert not box.state.slots[box.running].good
                continue
            box.works[target] = False
            if what != "cut while writing":
                box.works[target] = what != "install broken"
            if what not in {"cut while writing", "cut before active"}:
                box.state = activate(box.state, target)
        assert box.state.slots[box.state.last_good].good or not any(s.good for s in box.state.slots.values())
        box.start()


@given(states)
def test_a_good_slot_is_never_counted_and_a_counted_one_loses_one_try(state):
    chosen, after = power_up(state)
    assert {n: s for n, s in after.slots.items() if n != chosen} == {
        n: s for n, s in state.slots.items() if n != chosen
    }
    before = state.slots[chosen]
    expected = before.tries_left if before.good or not before.starts else before.tries_left - 1
    assert after.slots[chosen].tries_left == expected


@given(states)
def test_both_used_up_starts_the_one_that_was_good_last(state):
    state = dataclasses.replace(state, slots={"A": Slot(), "B": Slot()})
    assert power_up(state) == (state.last_good, state)


def test_a_new_system_has_three_starts_and_then_the_old_one_is_back():
    state = activate(begin_install(BootState(), "B"), "B")
    started = []
    for _ in range(5):
        chosen, state = power_up(state)
        started.append(chosen)
    assert started == ["B", "B", "B", "A", "A"]


def test_a_slot_is_not_written_while_the_other_one_has_not_proved_itself():
    with pytest.raises(WouldStrand, match="slot A has not proved itself"):
        begin_install(mark_bad(BootState(), "A"), "B")


# -- the files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", [grub_block, uboot_env])
@given(state=states)
def test_what_is_written_for_a_boot_loader_is_read_back_and_others_variables_stay(codec, state):
    content = codec.encode(state, {"saved_entry": "0", "fdtfile": "x.dtb"})
    values = codec.unpack(content)
    assert codec.decode(values) == state
    assert (values["saved_entry"], values["fdtfile"]) == ("0", "x.dtb")
    assert len(content) == codec.SIZE


@pytest.mark.parametrize("codec", [grub_block, uboot_env])
@given(st.binary(max_size=2048))
def test_hostile_content_is_unreadable_and_nothing_else(codec, content):
    with contextlib.suppress(Unreadable):
        codec.decode(codec.unpack(content))


@given(
    st.dictionaries(st.sampled_from(["ORDER", "A_OK", "A_TRY", "A_GOOD", "LAST_GOOD"]), st.text(max_size=8))
)
def test_hostile_values_are_unreadable_and_nothing_else(values):
    with contextlib.suppress(Unreadable):
        grub_block.decode(values)


def test_what_we_keep_fits_into_one_sector():
    content = grub_block.encode(activate(begin_install(BootState(), "B"), "B"), {})
    assert content[512:] == b"#" * 512
    with pytest.raises(ValueError, match="do not fit"):
        grub_block.pack({"long": "x" * 600})


def boot_folder(tmp_path: Path, loader: str) -> BootPartition:
    name, content = {
        "grub": ("grub/grubenv", grub_block.encode(BootState(), {})),
        "uboot": ("uboot.env", uboot_env.encode(BootState(), {})),
    }[loader]
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    return BootPartition(tmp_path, mounted=False, lock=tmp_path / "lock")


@pytest.mark.parametrize("loader", ["grub", "uboot"])
def test_a_change_is_kept_in_place_and_the_last_good_slot_beside_it(tmp_path, loader):
    partition = boot_folder(tmp_path, loader)
    before = (tmp_path / ("uboot.env" if loader == "uboot" else "grub/grubenv")).stat()
    partition.change(lambda state: activate(begin_install(state, "B"), "B"))
    partition.change(lambda state: mark_good(state, "B"))
    state, guessed = partition.read()
    assert (state.slots["B"], state.last_good, guessed) == (Slot(TRIES, good=True), "B", False)
    assert partition.last_good() == "B"
    after = (tmp_path / ("uboot.env" if loader == "uboot" else "grub/grubenv")).stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)


@pytest.mark.parametrize("loader", ["grub", "uboot"])
def test_a_file_that_a_power_cut_tore_leaves_the_slot_that_was_good_last(tmp_path, loader):
    partition = boot_folder(tmp_path, loader)
    partition.change(lambda state: mark_good(activate(begin_install(state, "B"), "B"), "B"))
    path = tmp_path / ("uboot.env" if loader == "uboot" else "grub/grubenv")
    path.write_bytes(b"\0" * path.stat().st_size)
    assert partition.read() == (lost("B"), True)
    partition.change(lambda state: state)  # writes it anew
    assert partition.read() == (lost("B"), False)


def test_the_second_file_never_names_a_slot_that_is_not_good(tmp_path, monkeypatch):
    partition = boot_folder(tmp_path, "grub")
    from appliance.boot import keeping

    writes = []
    monkeypatch.setattr(
        keeping, "_overwrite", lambda path, content: writes.append(path.name) or keeping.put(path, content)
    )
    partition.change(lambda state: activate(begin_install(state, "B"), "B"))
    partition.change(lambda state: mark_good(state, "B"))
    assert writes[-2:] == ["grubenv", LAST_GOOD]  # B is good first, and then the last resort
    writes.clear()
    partition.change(lambda state: begin_install(state, "A"))
    assert writes == [LAST_GOOD, "grubenv"]


def test_without_a_boot_loader_of_ours_there_is_nothing_to_read(tmp_path):
    with pytest.raises(NoState, match=r"no uboot.env and no grub/grubenv"):
        BootPartition(tmp_path, mounted=False).read()


# -- what RAUC asks ----------------------------------------------------------------------------------------------------


def test_rauc_is_answered_as_its_manual_says(tmp_path):
    partition = boot_folder(tmp_path, "uboot")

    def ask(*words):
        return backend.answer(partition, words, "quiet timeball.slot=a root=PARTUUID=x")

    assert (ask("get-primary"), ask("get-current"), ask("get-state", "A"), ask("get-state", "B")) == (
        "A", "A", "good", "bad",
    )  # fmt: skip
    ask("set-state", "B", "bad")
    ask("set-primary", "B")
    assert (ask("get-primary"), ask("get-state", "B")) == ("B", "good")
    assert partition.read()[0].slots["B"] == Slot(TRIES)
    ask("set-state", "B", "good")
    assert partition.read()[0].slots["B"].good
    with pytest.raises(ValueError, match="unknown: set-state C bad"):
        ask("set-state", "C", "bad")


def test_rauc_may_not_write_to_the_only_slot_that_is_good(tmp_path):
    partition = boot_folder(tmp_path, "grub")
    with pytest.raises(WouldStrand):
        backend.answer(partition, ["set-state", "A", "bad"], "")


@pytest.mark.parametrize(
    ("line", "name"),
    [("timeball.slot=b ro", "B"), ("ro", ""), ("timeball.slot=c", ""), ("xtimeball.slot=a", "")],
)
def test_the_running_slot_stands_on_the_kernels_command_line(line, name):
    assert running_slot(line) == name
