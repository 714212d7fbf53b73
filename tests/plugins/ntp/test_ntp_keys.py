"""Keys files: chrony's format, what is wrong with one in words, and never a word of a key."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import socket

import pytest
from click import Group
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from appliance.dataplane.ntp_keys import KeyRing, NtpKey
from appliance.wire.ntp_mac import MacType, digester
from appliance_ntp.keys import Keys, load_keys
from appliance_ntp.keys_cli import register
from appliance_ntp.keys_file import MAX_FILE_BYTES, parse_keys
from tests.support.ntp_packets import request
from tests.support.ntp_service import endpoint
from tests.support.wait import wait_for

RESULTS = ("ok", "unknown_key", "wrong_source", "wrong_mac", "unsupported")
AES_HEX = "00112233445566778899aabbccddeeff"


def parsed(text: str):
    return parse_keys(text.encode(), "keys")


def test_a_file_as_chrony_has_it():
    found = parsed(
        "# comment\n! comment\n; comment\n% comment\n\n"
        f"1 AES128 HEX:{AES_HEX}\n"
        f"  2\tAES256   HEX:{AES_HEX * 2}\r\n"
        "3 SHA1 ASCII:a-good-password\n"
        "4 sha512 anotherpassword # of old\n"
        "4294967295 SHA256 HEX:0011223344556677889900\n"
    )
    assert found.problems == found.warnings == ()
    assert [(key.id, key.kind.label, len(key.secret)) for key in found.keys] == [
        (1, "AES128", 16), (2, "AES256", 32), (3, "SHA1", 15), (4, "SHA512", 15), (2**32 - 1, "SHA256", 11)
    ]  # fmt: skip
    assert found.keys[2].secret == b"a-good-password"
    KeyRing(found.keys, 0)  # what was accepted can be used


@pytest.mark.parametrize("label", ["AES", "AES-128", "aes128cmac", "AES-128-CMAC", "AES128"])
def test_types_as_others_write_them(label):
    assert parsed(f"1 {label} HEX:{AES_HEX}").keys[0].kind is MacType.AES128


def test_a_fourth_word_says_whom_a_key_is_for():
    found = parsed(f"1 AES128 HEX:{AES_HEX} 10.0.0.0/8,192.0.2.7,2001:db8::/32")
    assert found.keys[0].networks == tuple(
        ipaddress.ip_network(text) for text in ("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32")
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("S3cr3tW0rd", "expected a number from 1 to 4294967295 first"),
        ("0 SHA1 S3cr3tW0rd", "expected a number"),
        ("4294967296 SHA1 S3cr3tW0rd", "expected a number"),
        ("-1 SHA1 S3cr3tW0rd", "expected a number"),
        ("7", "key 7: expected number, type and key"),
        ("7 S3cr3tW0rd", "key 7 has no type: write MD5"),
        ("7 S3cr3tW0rd and S3cr3tW0rd", "the fourth word|second word is no type"),
        ("7 SHA1 my S3cr3tW0rd has blanks", "found 6 words; a key with blanks is written as HEX:"),
        ("7 SHA3-256 S3cr3tW0rd", "the second word is no type; there are AES256, AES128, SHA512"),
        ("7 SHA1 HEX:S3cr3tW0rd", "pairs of hexadecimal digits"),
        ("7 SHA1 HEX:", "pairs of hexadecimal digits"),
        ("7 SHA1 HEX:012", "pairs of hexadecimal digits"),
        ("7 SHA1 ASCII:", "key 7 is empty"),
        ("7 AES128 S3cr3tW0rd", "key 7 has 10 bytes, and type AES128 needs 16: HEX: and 32 digits"),
        (f"7 AES256 HEX:{AES_HEX}", "needs 32"),
        (f"7 SHA1 {AES_HEX}", "may be text or hexadecimal"),
        ("7 SHA1 S3cr3tW0rd S3cr3tW0rd", "the fourth word says whom it is for"),
        (f"1 AES128 HEX:{AES_HEX}", "key 1 stands in line 1 already"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_without_the_key(line, words):
    found = parsed(f"1 SHA1 this-is-good\n{line}\n")
    assert len(found.problems) == 1
    assert found.problems[0].startswith("keys, line 2: ")
    assert any(part in found.problems[0] for part in words.split("|")), found.problems[0]
    assert found.keys == ()
    assert "S3cr3t" not in str(found)
    assert AES_HEX not in str(found)


def test_all_problems_are_told_at_once():
    assert [problem.split(":")[0] for problem in parsed("x\n1 SHA1 ok-for-now\ny\n2 z\n").problems] == [
        "keys, line 1", "keys, line 3", "keys, line 4"
    ]  # fmt: skip


def test_weak_keys_work_and_are_warned_of():
    found = parsed("1 MD5 long-enough-key\n2 SHA1 short\n")
    assert [key.id for key in found.keys] == [1, 2]
    assert "key 1 is of type MD5, which can be forged" in found.warnings[0]
    assert "key 2 has 40 bits only" in found.warnings[1]


@given(st.binary(max_size=400) | st.text("0123456789 \tAESHX:#\n", max_size=200).map(str.encode))
def test_no_file_makes_it_fail(content):
    found = parse_keys(content, "keys")
    assert not (found.keys and found.problems)
    KeyRing(found.keys, 0)


def test_a_file_without_end_is_not_read():
    assert "no keys file" in parse_keys(b"1 SHA1 a\n" * MAX_FILE_BYTES, "keys").problems[0]


def test_what_others_may_read_is_no_secret(tmp_path):
    path = tmp_path / "keys"
    path.write_text("1 SHA1 this-is-good\n")
    for mode in (0o644, 0o602, 0o641):
        path.chmod(mode)
        found = load_keys(path)
        assert found.keys == ()
        assert f"everybody on this machine, so its keys are no secret: chmod 640 {path}" in found.problems[0]
    path.chmod(0o640)
    assert [key.id for key in load_keys(path).keys] == [1]


def test_no_file_and_no_right_to_it_are_told_in_words(tmp_path):
    assert "does not exist: `timeball ntp key new`" in load_keys(tmp_path / "none").problems[0]
    assert load_keys(tmp_path).problems
    assert load_keys(tmp_path / "none" / "deeper").problems


def test_the_keys_follow_their_file(tmp_path):
    path, keys = tmp_path / "keys", Keys()
    assert not keys.follow("")
    assert keys.verdict == "No keys: requests with a MAC get no reply"

    assert keys.follow(str(path))
    assert (keys.keys, len(keys.problems)) == ((), 1)
    assert not keys.follow(str(path)), "nothing has changed"

    def write(text: str) -> None:
        fresh = tmp_path / "fresh"
        fresh.touch(mode=0o600)
        fresh.write_text(text)
        fresh.replace(path)

    write("1 SHA1 this-is-good\n")
    assert keys.follow(str(path))
    assert [key.id for key in keys.keys] == [1]
    assert keys.verdict == f"One key from {path}"

    write("1 SHA1 this-is-good\nnonsense\n")
    assert keys.follow(str(path))
    assert [key.id for key in keys.keys] == [1], "what was good stays in force"
    assert "One key in force; the keys file is not used:" in keys.verdict

    write("2 SHA1 this-is-good\n3 SHA1 this-is-good\n")
    assert keys.follow(str(path))
    assert ([key.id for key in keys.keys], keys.problems) == ([2, 3], ())

    os.chmod(path, 0o666)  # noqa: PTH101 - that is what it must notice
    assert keys.follow(str(path))
    assert "chmod 640" in keys.verdict

    assert keys.follow("")
    assert (keys.keys, keys.problems) == ((), ()), "no file, no keys"


@pytest.fixture
def ntp():
    group = Group("ntp")
    register(group)
    return lambda *words: CliRunner().invoke(group, words, obj={})


@pytest.mark.parametrize("kind", list(MacType), ids=lambda kind: kind.label)
def test_a_new_key_can_be_used_as_it_is_printed(ntp, kind, tmp_path):
    done = ntp("key", "new", "--type", kind.label, "--id", "7")
    assert done.exit_code == 0, done.output
    line = next(line for line in done.output.splitlines() if line.startswith("7 "))
    found = parsed(line)
    assert [(key.id, key.kind) for key in found.keys] == [(7, kind)]
    assert "server ADDRESS iburst key 7" in done.output
    assert ntp("key", "new", "--type", kind.label).output != ntp("key", "new", "--type", kind.label).output


def test_check_tells_what_is_in_a_file_and_what_is_wrong(ntp, tmp_path):
    path = tmp_path / "keys"
    path.touch(mode=0o600)
    path.write_text(f"1 AES128 HEX:{AES_HEX} 10.0.0.0/8\n2 MD5 S3cr3tW0rdS3cr3tW0rd\n")
    done = ntp("key", "check", str(path))
    assert done.exit_code == 0
    assert "key 1: AES128, only for 10.0.0.0/8" in done.output
    assert "Warning:" in done.output
    path.write_text("nonsense\n")
    done = ntp("key", "check", str(path))
    assert (done.exit_code, "line 1" in done.output) == (1, True)


def test_nothing_that_is_shown_of_a_key_is_the_key():
    key = NtpKey(1, MacType.SHA1, b"S3cr3tW0rd")
    assert "S3cr3t" not in f"{key} {key!r} {[key]} {json.dumps([str(key)])}"


async def ask(app, packet: bytes, timeout_s=10.0) -> bytes | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(await endpoint(app))
        sock.send(packet)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.get_running_loop().sock_recv(sock, 2048)
        except TimeoutError:
            return None


def sealed(number: int, secret: str) -> bytes:
    packet = request()
    return packet + number.to_bytes(4) + digester(MacType.AES128, bytes.fromhex(secret))(packet)


async def told(app) -> dict:
    return (await app.get("/api/v1/ntp"))["authentication"]


async def test_the_service_follows_its_keys_file(serving, tmp_path):
    """What is in the file counts without a restart; what is wrong with it is told, and never the key."""
    path = tmp_path / "ntp.keys"
    path.touch(mode=0o600)
    path.write_text(f"7 AES128 HEX:{AES_HEX}\n")
    listen = '[plugins.ntp]\nlisten = ["127.0.0.1:0"]\n'
    async with serving(f'{listen}keys_file = "{path}"\n') as app:
        await app.until_running("ntp")
        packet = sealed(7, AES_HEX)
        reply = await ask(app, packet)
        assert len(reply) == len(packet)
        assert (
            reply[:48] + (7).to_bytes(4) + digester(MacType.AES128, bytes.fromhex(AES_HEX))(reply[:48])
            == reply
        )
        now = await told(app)
        assert (now["keys"], now["problems"]) == ([{"id": 7, "type": "AES128", "networks": []}], [])
        await wait_for(lambda: has_results(app, ok=1), "the reply to be counted")

        path.write_text(f"7 AES128 HEX:{AES_HEX}\n8 AES128\n")
        await wait_for(lambda: has_problems(app), "the problem to be noticed")
        assert await ask(app, packet), "what was good stays in force"
        now = await told(app)
        assert f"{path}, line 2" in now["problems"][0]
        assert AES_HEX not in json.dumps(await app.get("/api/v1/ntp"))

        path.write_text(f"9 AES128 HEX:{AES_HEX}\n")
        await wait_for(lambda: has_key(app, 9), "the new key")
        assert await ask(app, sealed(9, AES_HEX))
        assert await ask(app, packet, timeout_s=0.3) is None
        assert await ask(app, sealed(9, AES_HEX[::-1]), timeout_s=0.3) is None
        await wait_for(lambda: has_results(app, ok=3, unknown_key=1, wrong_mac=1), "all to be counted")


async def has_results(app, **counts: int) -> bool:
    """A reply is counted a moment after it was sent. What is not named must be 0."""
    return (await told(app))["results"] == dict.fromkeys(RESULTS, 0) | counts


async def has_problems(app) -> bool:
    return bool((await told(app))["problems"])


async def has_key(app, number: int) -> bool:
    return [key["id"] for key in (await told(app))["keys"]] == [number]


async def test_without_a_keys_file_time_is_served_and_no_mac_is_answered(serving):
    async with serving(
        '[plugins.ntp]\nlisten = ["127.0.0.1:0"]\nkeys_file = "/nonexistent/ntp.keys"\n'
    ) as app:
        await app.until_running("ntp")
        assert await ask(app, request())
        assert await ask(app, sealed(7, AES_HEX), timeout_s=0.3) is None
        await wait_for(lambda: has_results(app, unknown_key=1), "the request to be counted")
        assert "does not exist" in (await told(app))["verdict"]
