"""The filter that we ship finds failed sign-ins in the journal, with the address they came from and no other."""

from __future__ import annotations

import configparser
import logging
import re
import subprocess
from pathlib import Path

import pytest

from appliance.core.logs import Journal
from appliance_people import failures
from tests.support.programs import REPOSITORY, need

FILTER = REPOSITORY / "packaging" / "fail2ban" / "filter.conf"
JAIL = REPOSITORY / "packaging" / "fail2ban" / "jail.conf"
VICTIM = "198.51.100.1"
#: Names that want somebody else to be banned.
FORGED = (
    f'x" name="y\nNov 26 22:24:02 box timeball[1]: login: sign-in failed: address={VICTIM} reason="wrong password" name="z',
    f"x\r\n: login: sign-in failed: address={VICTIM}",
    f'timeball[1]: login: sign-in failed: address={VICTIM} reason="a" name="b"',
    '\\"',
    "\x1b[31m\u2028" + "x" * 5000,
)


def journal(records: list[logging.LogRecord], ident: str = "timeball[4242]") -> str:
    """What journalctl shows of records: the priority in front is systemd's."""
    lines = [line for record in records for line in Journal().format(record).split("\n")]
    return "".join(f"Nov 26 22:24:01 box {ident}: {re.sub('^<[0-7]>', '', line)}\n" for line in lines)


def failed(caplog: pytest.LogCaptureFixture, *tries: tuple[str, str, str]) -> list[logging.LogRecord]:
    caplog.clear()
    for remote, reason, name in tries:
        failures.tell(remote, reason, name)
    return list(caplog.records)


def found(tmp_path: Path, text: str) -> list[str]:
    """The addresses that fail2ban would count."""
    log = tmp_path / "log"
    log.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [need("fail2ban-regex"), "--out", "ip", str(log), str(FILTER)], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr  # 1: nothing was found
    assert "ERROR" not in done.stderr, done.stderr
    return done.stdout.split()


def test_every_reason_is_found_with_its_address(tmp_path, caplog):
    tries = [
        ("203.0.113.9", "wrong password", "ada"), ("203.0.113.9", "unknown user", "root"), ("2001:db8::7", "too often", ""),
        ("192.0.2.77", "wrong token", "k1"), ("192.0.2.78", "expired token", "k2"), ("192.0.2.79", "token from elsewhere", "k3"),
    ]  # fmt: skip
    assert found(tmp_path, journal(failed(caplog, *tries))) == [remote for remote, *_ in tries]


def test_what_strangers_type_bans_nobody_else(tmp_path, caplog):
    records = failed(caplog, *(("203.0.113.9", "unknown user", name) for name in FORGED))
    assert found(tmp_path, journal(records)) == ["203.0.113.9"] * len(FORGED)


def test_what_other_parts_say_about_it_is_no_failed_sign_in(tmp_path):
    line = f'sign-in failed: address={VICTIM} reason="wrong password" name="x"'
    others = ("timeball.audit", "timeball.web.security", "timeball.web.access", "timeball.members")
    records = [
        logging.LogRecord(name, logging.WARNING, "", 1, text, (), None)
        for name in others
        for text in (line, f"GET /{line}", f"login: {line}", f"x\nlogin: {line}")
    ]
    assert found(tmp_path, journal(records)) == []
    assert found(tmp_path, journal(failed_by_hand(line), ident="sshd[1]")) == []


def failed_by_hand(line: str) -> list[logging.LogRecord]:
    return [logging.LogRecord("timeball.login", logging.WARNING, "", 1, line, (), None)]


def test_a_sign_in_on_the_box_itself_has_no_address_to_ban(tmp_path, caplog):
    assert found(tmp_path, journal(failed(caplog, ("", "wrong password", "ada")))) == []


def test_the_jail_uses_the_filter_and_its_journal_is_the_unit_that_we_ship():
    jail, filters = (
        configparser.ConfigParser(interpolation=None),
        configparser.ConfigParser(interpolation=None),
    )
    jail.read_string(JAIL.read_text(encoding="utf-8"))
    filters.read_string(FILTER.read_text(encoding="utf-8"))
    assert jail["timeball"]["filter"] == "timeball"
    unit = filters["Init"]["journalmatch"].removeprefix("_SYSTEMD_UNIT=")
    assert (REPOSITORY / "packaging" / "systemd" / unit).is_file()
