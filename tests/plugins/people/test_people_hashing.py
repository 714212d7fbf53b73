"""Passwords are hashed and compared by another process, whatever becomes of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.api.errors import ApiError
from appliance.core.tasks import spawn
from appliance_people import hashing, passwords
from appliance_people.hashing import MOST_AT_WORK, MOST_WAITING, Busy, Hashing
from tests.support.wait import wait_for

SECRET = "caf\u00e9 au lait"


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put another program in the place of ours; it may write to a file beside it."""

    def put(text: str) -> Path:
        file = tmp_path / "program.py"
        file.write_text(text)
        monkeypatch.setattr(hashing, "PROGRAM", file)
        return file

    return put


#: Tells its number, and stays.
HANGS = """
import os, sys, time
from pathlib import Path
sys.stdin.read()
Path(__file__).with_name(f"{os.getpid()}.pid").touch()
time.sleep(600)
"""


def begun(file):
    return [int(one.stem) for one in file.parent.glob("*.pid")]


def is_there(pid):
    return Path(f"/proc/{pid}").exists()


def told_of(pid):
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))


async def test_a_kept_password_is_matched_in_every_spelling_of_its_characters():
    own = Hashing()
    kept = await own.hashed(SECRET)
    assert kept.startswith("$argon2id$v=19$m=32768,t=2,p=1$")
    assert await own.matches("cafe\u0301 au lait", kept)
    assert not await own.matches("cafe au lait", kept)
    assert await own.hashed(SECRET) != kept
    assert passwords.is_hash(kept)
    assert not passwords.outdated(kept)
    assert passwords.outdated(kept.replace("m=32768", "m=19456"))


@pytest.mark.parametrize("password", ["", "\udcff lone", "\0", "x" * 256])
async def test_any_text_is_a_password(password):
    own = Hashing()
    assert await own.matches(password, await own.hashed(password))


async def test_where_there_is_no_account_the_same_work_is_done_and_nothing_matches(monkeypatch):
    seen, done = [], hashing._done

    async def tells(work):
        seen.append(work)
        return await done(work)

    monkeypatch.setattr(hashing, "_done", tells)
    own = Hashing()
    kept = await own.hashed("")
    assert await own.matches("", kept)
    for password in ("", "anything"):
        for nothing in (None, ""):
            assert not await own.matches(password, nothing)
    nobodys, anybodys = (
        json.dumps({"password": "", "kept": one}).encode() for one in (passwords.NOBODYS, kept)
    )
    assert seen[1:4] == [anybodys, nobodys, nobodys]
    assert len(anybodys) == len(nobodys)
    assert passwords.is_hash(passwords.NOBODYS)
    assert not passwords.outdated(passwords.NOBODYS)


async def test_a_kept_text_that_is_no_hash_matches_nothing():
    assert not await Hashing().matches("secret", "secret")


def test_the_program_does_without_the_appliance():
    told = subprocess.run(
        [sys.executable, "-P", "-X", "importtime", hashing.PROGRAM], input='{"password": "00", "kept": ""}',
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in told.stderr.splitlines()}
    assert told.stdout == "false"
    assert "cryptography.exceptions" in imported
    assert not {name.partition(".")[0] for name in imported} & {"appliance", "appliance_people", "pydantic"}


async def test_what_does_not_end_is_ended_and_told(program, monkeypatch, caplog):
    monkeypatch.setattr(hashing, "PATIENCE_S", 3.0)
    file = program(HANGS)
    with pytest.raises(ApiError, match="the box's log tells why") as refused:
        await Hashing().matches(SECRET, None)
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "5"})
    assert "no result within 3 s" in caplog.text
    assert not any(map(is_there, begun(file)))


async def test_nobody_sees_the_password_in_the_list_of_processes_nor_in_the_log(program, caplog):
    file = program(HANGS)
    trying = spawn(Hashing().matches(SECRET, None), name="trying")
    (pid,) = await wait_for(lambda: begun(file), "the program")
    told = told_of(pid)
    assert b"program.py" in told
    assert SECRET.encode() not in told
    assert SECRET.encode().hex().encode() not in told
    trying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trying
    assert not is_there(pid), "who does not wait for it ends it"
    program("raise SystemExit('out of memory')")
    with pytest.raises(Busy):
        await Hashing().hashed(SECRET)
    assert "ended with status 1: out of memory" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("text", ["", "print('nonsense')", "import os; os.kill(os.getpid(), 9)"])
async def test_a_program_that_says_nothing_sensible_lets_nobody_in(program, text):
    program(text)
    with pytest.raises(Busy):
        await Hashing().matches(SECRET, None)


@pytest.mark.parametrize("said", ["1", '"true"', "[true]", "null", "{}"])
async def test_only_true_lets_in(program, said):
    program(f"print({said!r})")
    assert not await Hashing().matches(SECRET, "$argon2id$")


async def test_a_box_that_can_start_no_program_says_so(monkeypatch, caplog):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(Busy):
        await Hashing().hashed(SECRET)
    assert "/nowhere/python" in caplog.text


async def test_few_are_at_work_and_few_may_wait(program):
    file = program(HANGS)
    own = Hashing()
    trying = [spawn(own.matches(SECRET, None), name="trying") for _ in range(MOST_WAITING)]
    await wait_for(lambda: len(begun(file)) == MOST_AT_WORK, "as many as may")
    with pytest.raises(Busy, match="too many people"):
        await own.matches(SECRET, None)
    for one in trying[:-1]:
        one.cancel()
    await asyncio.gather(*trying[:-1], return_exceptions=True)
    await wait_for(lambda: any(map(is_there, begun(file))), "the last one, whose turn has come")
    assert sum(map(is_there, begun(file))) == 1
    trying[-1].cancel()
    await asyncio.gather(*trying, return_exceptions=True)
    program("print('true')")
    assert await own.matches(SECRET, "$argon2id$")
