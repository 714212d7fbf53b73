"""Files as they really are: foreign line ends, broken, read-only, on a full disk, and a process killed half way."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.api.config import PluginConfig, setting
from appliance.api.errors import ApiError, Conflict, Refused
from appliance.settings import files
from appliance.settings.document import UNSET
from appliance.settings.editor import MOST_BYTES, Editor
from appliance.settings.history import Entry, History
from appliance.settings.rescue import give_up
from appliance.settings.sources import Sources
from tests.support.programs import need_root
from tests.support.wait import wait_until

TTL = ("plugins", "k", "ttl")


class Config(PluginConfig):
    ttl: int = setting(60, help="A time.", ge=1, le=100_000)
    word: str = setting("", help="Text.")


@pytest.fixture
def place(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    file = tmp_path / "config.toml"
    file.write_text(f'[appliance]\nstate_dir = "{state}"\n[plugins.k]\nttl = 5 # five\n')
    return file


def editor(file):
    return Editor(Sources(file), {"k": Config})


def change(file, value, path=TTL):
    made = editor(file)
    plan = made.plan([(path, value)])
    made.commit(plan)
    return plan


def test_line_ends_byte_order_mark_owner_mode_and_link_stay(place, tmp_path):
    place.write_bytes(b"\xef\xbb\xbf" + place.read_bytes().replace(b"\n", b"\r\n"))
    place.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(place, 12, 34)
    link = tmp_path / "link.toml"
    link.symlink_to(place)
    before = place.stat()
    change(link, 9)
    after = place.stat()
    assert place.read_bytes().startswith(b"\xef\xbb\xbf[appliance]\r\n")
    assert b"ttl = 9 # five\r\n" in place.read_bytes()
    assert link.is_symlink()
    assert (before.st_uid, before.st_gid, stat.S_IMODE(before.st_mode)) == (
        after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)
    )  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.toml", "link.toml", "state"]


@pytest.mark.parametrize(
    "content",
    [
        b"[plugins.k]\nttl = 5\nttl = 6\n",
        b"[plugins.k]\nttl = \n",
        b"[plugins.k]\nword = \xff\n",
        b"[plugins.k]\n" + b"x." * 5000 + b"y = 1\n",
    ],
)
def test_a_broken_file_is_told_and_not_touched(place, content):
    place.write_bytes(content)
    with pytest.raises(Conflict, match="correct it first"):
        change(place, 9)
    assert place.read_bytes() == content


def test_a_huge_file_is_left_to_what_made_it(place):
    place.write_text(place.read_text() + "# long\n" * (MOST_BYTES // 7))
    with pytest.raises(Refused, match="4 MB"):
        change(place, 9)


def test_a_large_file_is_changed_in_reasonable_time_and_only_where_asked(place):
    place.write_text(place.read_text() + "".join(f"# member {i} of many\n" for i in range(60_000)))
    plan = change(place, 9)
    assert plan.diff.count("\n+") + plan.diff.count("\n-") <= 4
    assert plan.files[0].after == plan.files[0].before.replace(b"ttl = 5", b"ttl = 9")


def test_a_file_that_may_not_be_written_is_explained_and_covered(place, tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "access", lambda path, mode: not str(path).endswith(place.parent.name))
    plan = change(place, 9)
    assert "cannot be written" in plan.notes[0]
    assert plan.files[0].path == tmp_path / "state" / "overrides.toml"
    assert plan.config.plugins["k"].ttl == 9
    plan = change(place, UNSET)
    assert plan.config.plugins["k"].ttl == 60, "the default is written out, because the file still says 5"


def test_a_really_read_only_file_system(tmp_path):
    """A read-only mount, as a service with ProtectSystem=strict has it."""
    need_root()
    folder, state = tmp_path / "etc", tmp_path / "state"
    folder.mkdir()
    state.mkdir()
    file = folder / "config.toml"
    file.write_text(f'[appliance]\nstate_dir = "{state}"\n[plugins.k]\nttl = 5\n')
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        plan = change(file, 9)
        assert "cannot be written" in plan.notes[0]
        assert (state / "overrides.toml").is_file()
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_changes_nothing(tmp_path):
    need_root()
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    try:
        file = folder / "config.toml"
        file.write_text("[plugins.k]\nttl = 5\n" + "# filler\n" * 3000)
        before = file.read_bytes()
        (folder / "rest").write_bytes(b"x" * 32_000)
        made = editor(file)
        plan = made.plan([(("plugins", "k", "word"), "y" * 9000)])
        with pytest.raises(Refused, match="No space left"):
            made.commit(plan)
        assert file.read_bytes() == before
        assert sorted(p.name for p in folder.iterdir()) == ["config.toml", "rest"]
    finally:
        subprocess.run(["umount", folder], check=True)


_KILLED = """
import os, sys, pathlib
sys.path[:0] = {path!r}
import appliance.settings.files as files
def stop(self, *_):
    pathlib.Path({told!r}).touch()
    while True: os.read(0, 1)
pathlib.Path.replace = stop
file = pathlib.Path({file!r})
files.replace(file, file.read_bytes(), b"new = 1\\n")
"""


def test_a_process_killed_between_write_and_rename_leaves_the_old_file_and_no_lock(place, tmp_path):
    told = tmp_path / "told"
    before = place.read_bytes()
    code = _KILLED.format(path=[p for p in sys.path if p], told=str(told), file=str(place))
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    try:
        wait_until(lambda: told.exists() or child.poll() is not None, "the child to have written its copy")
        assert (tmp_path / ".config.toml.timeball-new").read_bytes() == b"new = 1\n"
        with pytest.raises(Conflict, match="somebody else is writing"):
            change(place, 9)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert place.read_bytes() == before
        change(place, 9)
        assert b"ttl = 9" in place.read_bytes()
        assert not (tmp_path / ".config.toml.timeball-new").exists()
    finally:
        child.kill()
        child.wait()
        assert child.stdin is not None
        child.stdin.close()


def test_two_plans_for_one_file_the_second_is_refused(place):
    one, two = editor(place), editor(place)
    first, second = one.plan([(TTL, 7)]), two.plan([(TTL, 8)])
    one.commit(first)
    with pytest.raises(Conflict, match="changed by somebody else"):
        two.commit(second)
    assert b"ttl = 7" in place.read_bytes()


def test_when_the_second_of_two_files_cannot_be_written_the_first_goes_back(place, tmp_path):
    folder = tmp_path / "conf.d"
    folder.mkdir()
    other = folder / "a.toml"
    other.write_text('[plugins.k]\nword = "x"\n')
    before = place.read_bytes()
    made = editor(place)
    plan = made.plan([(TTL, 7), (("plugins", "k", "word"), "y")])
    assert {c.path for c in plan.files} == {place, other}
    other.write_text('[plugins.k]\nword = "somebody else"\n')
    with pytest.raises(ApiError):
        made.commit(plan)
    assert place.read_bytes() == before


def test_the_history_is_bounded_private_and_survives_damage(place, tmp_path):
    history = History(tmp_path / "h")
    plan = editor(place).plan([(TTL, 7)])
    for _ in range(120):
        entry = history.add(
            Entry(0, 1.0, "me", plan.keys, plan.files, running=("k",), effects=(("a", "live"),))
        )
    assert [e.id for e in history.entries()] == list(range(120, 20, -1))
    assert history.get(120) == entry
    assert stat.S_IMODE((tmp_path / "h").stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "h").iterdir()} == {0o600}
    Path(tmp_path / "h" / "000120.json").write_text("{")
    assert history.entries()[0].id == 119


def test_a_change_under_which_the_process_never_comes_up_goes_back(place, tmp_path):
    before = place.read_bytes()
    state = tmp_path / "state"
    history = History(state / "config-history")
    plan = change(place, 7)
    entry = history.add(Entry(0, 1.0, "me", plan.keys, plan.files, "watching"))
    assert give_up(state, "nothing starts") is None, "it may still try"
    taken = give_up(state, "nothing starts", at_once=True)
    assert taken is not None
    assert (taken.id, taken.state, taken.why) == (entry.id, "reverted", "nothing starts")
    assert place.read_bytes() == before
    assert give_up(state, "nothing starts", at_once=True) is None
