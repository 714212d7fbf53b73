"""Backups: what goes in comes out, and nothing that is not exactly that gets past the check."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import sqlite3
import stat
import tarfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core.swapping import Exchange
from appliance_box.backup import BadArchive, gathering, making, manifest, restoring, sealing

PASSPHRASE = "quiet lantern soup"
NOW_S = 1_790_000_000.0


@pytest.fixture(autouse=True)
def _cheap(monkeypatch):
    """A key in a millisecond."""
    monkeypatch.setattr(sealing.Sealer.__init__, "__kwdefaults__", {"cost": 2})


@pytest.fixture
def state(tmp_path) -> Path:
    folder = tmp_path / "state"
    for name, text in {
        "overrides.toml": "[plugins.dns]\nttl = 60\n", "secrets/key": "s3cret", "people/pepper": "x", "web/tls/authority.key": "PEM",
        "admin.sock.txt": "kept", "starts.json": "{}", "box/uploads/x": "left out", "timeball.db-wal.old": "y",
        "plugins.d/20260101/lock.json": json.dumps({"roots": [{"name": "hello", "version": "1.0", "source": "hello.whl"}]}),
        "plugins.d/20260101/hello.py": "print()", "plugins.d/20251201/hello.py": "old",
    }.items():  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "plugins.d/current").symlink_to("20260101")
    (folder / "secrets/key").chmod(0o600)
    with contextlib.closing(sqlite3.connect(folder / "timeball.db")) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE t (x)")
        db.executemany("INSERT INTO t VALUES (?)", [(i,) for i in range(1000)])
        db.execute("CREATE TABLE _migrations (plugin, position, name, applied_at)")
        db.execute("INSERT INTO _migrations VALUES ('members', 0, '0001-member', 0)")
        db.commit()
    config = tmp_path / "etc/config.toml"
    (config.parent / "conf.d").mkdir(parents=True)
    config.write_text("[appliance]\n")
    (config.parent / "conf.d/more.toml").write_text("[plugins.dns]\n")
    return folder


def make(state, target, **more):
    source = making.Source(
        state, "1.2.3", state.parent / "etc/config.toml", {"host_name": "north"}, "timeball-vm-amd64", NOW_S
    )
    return making.make(source, target, **more)


def count(database: Path) -> int:
    with contextlib.closing(sqlite3.connect(database)) as db:
        return db.execute("SELECT count(*) FROM t").fetchone()[0]


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE], ids=["plain", "sealed"])
def test_what_goes_in_comes_out_on_a_fresh_box(state, tmp_path, passphrase) -> None:
    file = tmp_path / "out" / "b.tar.gz"
    heard = []
    made = make(state, file, passphrase=passphrase, progress=lambda *told: heard.append(told))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["b.tar.gz"], "nothing else is left behind"
    assert {doing for _, _, doing in heard} == {"copying the database", "summing up", "writing the archive"}
    assert restoring.verify(file, "1.2.3", passphrase=passphrase) == made
    assert made.steps == {"members": ["0001-member"]}
    assert [(p.name, p.version) for p in made.plugins] == [("hello", "1.0")]
    fresh = tmp_path / "fresh"
    prepared = restoring.prepare(file, fresh, "1.2.3", passphrase=passphrase)
    restoring.arrange(fresh, prepared.manifest)
    assert Exchange(fresh).begin().phase == "trial"
    assert count(fresh / "timeball.db") == 1000
    assert (fresh / "secrets/key").read_text() == "s3cret"
    assert stat.S_IMODE((fresh / "secrets/key").stat().st_mode) == 0o600
    assert (fresh / "plugins.d/current").readlink() == Path("20260101")
    assert not (fresh / "plugins.d/20251201").exists()
    assert not (fresh / "box").exists()
    assert set(prepared.config) == {"config.toml", "conf.d/more.toml"}
    assert prepared.box == {"host_name": "north"}
    assert prepared.notes == []


def test_a_backup_is_of_one_moment_while_somebody_writes(state, tmp_path) -> None:
    """Pairs are written together; the copy has whole pairs only."""
    done = threading.Event()

    def write() -> None:
        with contextlib.closing(sqlite3.connect(state / "timeball.db")) as db:
            number = 0
            while not done.is_set():
                number += 1
                with db:
                    db.execute("INSERT INTO t VALUES (?)", (f"a{number}",))
                    db.execute("INSERT INTO t VALUES (?)", (f"b{number}",))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for round_ in range(3):
            copy = tmp_path / f"{round_}.db"
            gathering.copy_database(state, copy, lambda *told: None)
            with contextlib.closing(sqlite3.connect(copy)) as db:
                a, b = (
                    db.execute("SELECT count(*) FROM t WHERE x LIKE ?", (like,)).fetchone()[0]
                    for like in ("a%", "b%")
                )
            assert a == b
    finally:
        done.set()
        writer.join()


def test_the_state_is_not_touched_before_the_next_start(state, tmp_path) -> None:
    make(state, tmp_path / "b")
    with contextlib.closing(sqlite3.connect(state / "timeball.db")) as db, db:
        db.execute("DELETE FROM t")
    restoring.prepare(tmp_path / "b", state, "1.2.3")
    assert count(state / "timeball.db") == 0
    restoring.arrange(state, restoring.summary(tmp_path / "b"))
    assert count(state / "timeball.db") == 0
    Exchange(state).begin()
    assert count(state / "timeball.db") == 1000
    Exchange(state).arrange_return()
    Exchange(state).begin()
    assert count(state / "timeball.db") == 0


@pytest.mark.parametrize(
    ("theirs", "ours", "taken"),
    [
        ("1.2.3", "1.2.3", True),
        ("1.2.3", "1.10.0", True),
        ("1.2.4", "1.2.3", False),
        ("2.0.0", "1.9.9", False),
    ],
)
def test_an_older_versions_backup_is_taken_and_a_newer_ones_refused(theirs, ours, taken) -> None:
    entry = manifest.Entry(size=0, sha256="0" * 64)
    found = manifest.Manifest(
        format=1, product="timeball", version=theirs, created=0, files={"state/timeball.db": entry}
    )
    if taken:
        manifest.fits(found, ours)
    else:
        with pytest.raises(BadArchive, match="was made by version") as refused:
            manifest.fits(found, ours)
        assert refused.value.code == "newer"


def test_a_newer_format_is_refused_with_what_to_do() -> None:
    entry = {"size": 0, "sha256": "0" * 64}
    text = {
        "format": 2,
        "product": "timeball",
        "version": "9.0.0",
        "created": 0,
        "files": {"state/timeball.db": entry},
        "more": 1,
    }
    with pytest.raises(BadArchive) as refused:
        manifest.read(json.dumps(text).encode())
    assert (refused.value.code, refused.value.remedy) == ("newer", "update this box first, then restore")


def test_compiled_plugins_stay_behind_on_another_architecture(state, tmp_path, monkeypatch) -> None:
    (state / "plugins.d/20260101/fast.so").write_bytes(b"\x7fELF")
    monkeypatch.setattr(gathering.platform, "machine", lambda: "riscv64")
    make(state, tmp_path / "b")
    monkeypatch.undo()
    prepared = restoring.prepare(tmp_path / "b", tmp_path / "fresh", "1.2.3")
    assert "timeball plugin install" in prepared.notes[0]
    assert "hello 1.0" in prepared.notes[0]
    assert not (Exchange(tmp_path / "fresh").new / "plugins.d").exists()


def test_a_wrong_passphrase_and_none_are_told_apart_from_damage(state, tmp_path) -> None:
    make(state, tmp_path / "b", passphrase=PASSPHRASE)
    for given_, code in (("", "passphrase"), ("wrong one", "passphrase")):
        with pytest.raises(BadArchive) as refused:
            restoring.verify(tmp_path / "b", "1.2.3", passphrase=given_)
        assert refused.value.code == code
    whole = (tmp_path / "b").read_bytes()
    (tmp_path / "b").write_bytes(whole[:-40])
    with pytest.raises(BadArchive) as refused:
        restoring.verify(tmp_path / "b", "1.2.3", passphrase=PASSPHRASE)
    assert refused.value.code in ("damaged", "passphrase")


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE], ids=["plain", "sealed"])
def test_no_damaged_byte_gets_past_the_check(state, tmp_path, passphrase) -> None:
    """Any one byte changed, anywhere: refused, or (in fields that carry nothing) exactly what it was."""
    file = tmp_path / "b"
    made = make(state, file, passphrase=passphrase)
    whole = file.read_bytes()
    chance = random.Random(7)
    spots = {0, 1, len(whole) - 1, len(whole) // 2, *(chance.randrange(len(whole)) for _ in range(120))}
    refused = 0
    for spot in sorted(spots):
        file.write_bytes(whole[:spot] + bytes([whole[spot] ^ (1 << chance.randrange(8))]) + whole[spot + 1 :])
        try:
            assert restoring.verify(file, "1.2.3", passphrase=passphrase) == made
        except BadArchive:
            refused += 1
    assert refused > len(spots) * 0.9


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE], ids=["plain", "sealed"])
def test_an_archive_that_was_cut_off_anywhere_is_refused(state, tmp_path, passphrase) -> None:
    file = tmp_path / "b"
    make(state, file, passphrase=passphrase)
    whole = file.read_bytes()
    for length in [0, 1, 10, 40, *range(100, len(whole) - 20, max(1, len(whole) // 40))]:
        file.write_bytes(whole[:length])
        with pytest.raises(BadArchive):
            restoring.verify(file, "1.2.3", passphrase=passphrase)


def hostile(members, *, entries=None, links=None, database=b"x") -> bytes:
    """An archive by hand: (name, content or TarInfo) pairs behind a manifest that fits unless told otherwise."""
    import hashlib

    contents = {
        "state/timeball.db": database,
        **{name: content for name, content in members if isinstance(content, bytes)},
    }
    files = {name: {"size": len(c), "sha256": hashlib.sha256(c).hexdigest()} for name, c in contents.items()}
    head = {
        "format": 1,
        "product": "timeball",
        "version": "1.0.0",
        "created": 0,
        "files": files | (entries or {}),
        "links": links or {},
    }
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb") as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in [
            ("manifest.json", json.dumps(head).encode()),
            ("state/timeball.db", database),
            *members,
        ]:
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


ZERO = {"size": 0, "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}


@pytest.mark.parametrize(
    "content",
    [
        hostile([("state/../../etc/passwd", b"x")]),
        hostile([("/etc/passwd", b"x")]),
        hostile([("state//x", b"x")]),
        hostile([("state/a\\b", b"x")]),
        hostile([("state/a\nb", b"x")]),
        hostile([("elsewhere/x", b"x")]),
        hostile([("config/other.sh", b"x")]),
        hostile([("config/conf.d/../../x.toml", b"x")]),
        hostile([("box/box.json", b"[")]),
        hostile([("state/x", special("state/x", tarfile.SYMTYPE, "/etc/passwd"))], entries={"state/x": ZERO}),
        hostile([("state/x", special("state/x", tarfile.LNKTYPE, "state/timeball.db"))], entries={"state/x": ZERO}),
        hostile([("state/x", special("state/x", tarfile.FIFOTYPE))], entries={"state/x": ZERO}),
        hostile([("state/x", special("state/x", tarfile.CHRTYPE))], entries={"state/x": ZERO}),
        hostile([("state/x", b"x"), ("state/x", b"x")]),
        hostile([], entries={"state/missing": ZERO}),
        hostile([], links={"state/plugins.d/current": "../../../etc"}),
        hostile([], links={"state/../x": "y"}),
        hostile([("state/x", b"x")], entries={"state/x": {"size": 1, "sha256": "0" * 64}}),
        hostile([("state/x", b"x")], entries={"state/x": {"size": 1 << 50, "sha256": "0" * 64}}),
        gzip.compress(b"\0" * 10_000_000),
        gzip.compress(b"not a tar"),
        b"PK\x03\x04 a zip",
        b"",
        sealing.MAGIC + b'{"kdf": "scrypt", "n": 1073741824, "r": 8, "p": 1, "salt": "AAAAAAAAAAAAAAAAAAAAAA=="}\n' + b"x" * 99,
        sealing.MAGIC + b"{}\n",
    ],
    ids=range(25),
)  # fmt: skip
def test_what_a_stranger_packed_is_refused_and_nothing_gets_out(tmp_path, content) -> None:
    (tmp_path / "b").write_bytes(content)
    state = tmp_path / "deep" / "state"
    with pytest.raises(BadArchive):
        restoring.prepare(
            tmp_path / "b", state, "1.2.3", passphrase=PASSPHRASE if content.startswith(sealing.MAGIC) else ""
        )
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["b"]


def test_a_database_that_is_none_is_refused(tmp_path) -> None:
    (tmp_path / "b").write_bytes(hostile([], database=b"this is no database at all"))
    with pytest.raises(BadArchive, match="damaged"):
        restoring.prepare(tmp_path / "b", tmp_path / "state", "1.2.3")


def test_a_disk_without_room_is_told_before_anything_is_written(state, tmp_path, monkeypatch) -> None:
    make(state, tmp_path / "b")
    monkeypatch.setattr(gathering.shutil, "disk_usage", lambda path: type("U", (), {"free": 1000})())
    with pytest.raises(BadArchive) as refused:
        restoring.prepare(tmp_path / "b", tmp_path / "fresh", "1.2.3")
    assert refused.value.code == "no_room"
    with pytest.raises(BadArchive, match="are free"):
        make(state, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_the_configuration_is_put_back_with_the_old_one_beside_it(tmp_path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("old")
    file.chmod(0o640)
    written = restoring.write_config(file, {"config.toml": b"new", "conf.d/x.toml": b"x"})
    assert written == [str(file), str(tmp_path / "conf.d/x.toml")]
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert (tmp_path / "config.toml.before-restore").read_text() == "old"
    assert restoring.write_config(file, {"config.toml": b"new"}) == []


@settings(max_examples=40)
@given(st.binary(max_size=3 * sealing.CHUNK), st.lists(st.integers(1, sealing.CHUNK), max_size=5))
def test_what_is_sealed_opens_to_the_same(data, cuts) -> None:
    out = io.BytesIO()
    with sealing.Sealer(out, PASSPHRASE, cost=2) as sealer:
        at = 0
        for cut in cuts:
            sealer.write(data[at : at + cut])
            at += cut
        sealer.write(data[at:])
    out.seek(0)
    assert sealing.is_sealed(out)
    assert io.BufferedReader(sealing.Opener(out, PASSPHRASE)).read() == data


def test_sealed_chunks_cannot_change_places_or_be_left_out() -> None:
    out = io.BytesIO()
    with sealing.Sealer(out, PASSPHRASE, cost=2) as sealer:
        sealer.write(bytes(3 * sealing.CHUNK))
    whole = out.getvalue()
    size = sealing.CHUNK + 16
    head, body = (
        whole[: len(whole) - 3 * size],
        [whole[len(whole) - (3 - i) * size :][:size] for i in range(3)],
    )
    for order in ([1, 0, 2], [0, 2], [0, 1], [0, 1, 1, 2]):
        with pytest.raises(BadArchive):
            io.BufferedReader(
                sealing.Opener(io.BytesIO(head + b"".join(body[i] for i in order)), PASSPHRASE)
            ).read()


def test_short_passphrases_are_not_worth_it() -> None:
    with pytest.raises(ValueError, match="8 characters"):
        sealing.check_passphrase("short")


def test_names_of_backups_sort_by_time_and_hold_nothing_odd() -> None:
    assert making.name_for("north/../x y", NOW_S, sealed=False) == "timeball-north-x-y-20260921-141320.tar.gz"
    assert making.name_for("", NOW_S, sealed=True).endswith(".sealed")
