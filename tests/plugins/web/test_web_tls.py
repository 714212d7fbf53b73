"""HTTPS by itself: what the authority may vouch for, when certificates are made anew, and which uploads are refused."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import logging
import ssl
import stat
import subprocess
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from appliance_web.tls import authority, chain
from appliance_web.tls.authority import RELEASED_S, chain_pem, fingerprint, make_authority, make_leaf
from appliance_web.tls.keeper import Keeper
from appliance_web.tls.names import Names, here, is_dns_name, names_of
from tests.support.programs import need

NOW = 1_800_000_000.0
DAY = 86400.0


def interfaces(*texts):
    return tuple(ipaddress.ip_interface(text) for text in texts)


BOX = names_of("ball", ["time.example.org"], interfaces("192.168.1.9/24", "2a02:db8::9/64"))


class Box:
    """A keeper whose names and clock the test turns."""

    def __init__(self, folder, names=BOX, now_s=NOW):
        self.names, self.now_s, self.folder = names, now_s, folder
        self.keeper = self.again()

    def again(self):
        """A restart."""
        self.keeper = Keeper(self.folder, lambda: self.names, lambda: self.now_s)
        self.keeper.refresh()
        return self.keeper

    @property
    def served(self):
        return self.keeper.serving.pair.certificate

    def refresh(self):
        """Look again; whether the served certificate and the authority stayed."""
        before = self.served, self.keeper.authority.certificate
        self.keeper.refresh()
        return before[0] == self.served, before[1] == self.keeper.authority.certificate


def plain_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def test_the_names_of_a_box():
    assert BOX.dns == ("time.example.org", "ball", "ball.local")
    assert names_of("Ball.Example.org.", (), ()).dns == ("ball.example.org", "ball", "ball.local")
    assert names_of("localhost", (), ()).dns == ()
    assert names_of("bad name!", ["192.0.2.1", "-x", "a..b", "*"], ()).dns == ()


def test_this_machine_has_an_address():
    """The kernel was really asked; loopback, link-local and temporary addresses are none to be called by."""
    listed = subprocess.run([need("ip"), "-o", "addr"], capture_output=True, text=True, check=True).stdout
    found = here().interfaces
    for interface in found:
        assert str(interface) in listed
        assert not interface.ip.is_loopback
        assert not interface.ip.is_link_local
    expected = {word for line in listed.splitlines() for word in line.split()[3:4]
                if " scope global" in line and " temporary" not in line and "tentative" not in line}  # fmt: skip
    assert {str(i) for i in found} == expected


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_not(text):
    if is_dns_name(text):
        x509.DNSName(text)


def test_the_authority_vouches_for_this_box_and_nothing_else():
    """By its critical name constraints; openssl, which knows nothing of us, agrees."""
    top = make_authority(BOX, NOW).certificate
    constraints = top.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    for name in (
        "ball",
        "ball.local",
        "time.example.org",
        "localhost",
        ipaddress.ip_address("192.168.1.200"),
        ipaddress.ip_address("2a02:db8::9"),
    ):
        assert authority.permits(top, name), name
    for name in (
        "example.org",
        "evil.example",
        "notball",
        "local",
        ipaddress.ip_address("192.168.2.1"),
        ipaddress.ip_address("2a02:db8::a"),
        ipaddress.ip_address("8.8.8.8"),
    ):
        assert not authority.permits(top, name), name


@pytest.mark.parametrize(
    ("names", "good"),
    [(BOX, True), (Names(("evil.example",)), False), (Names((), interfaces("8.8.8.8/32")), False)],
)
def test_openssl_refuses_what_the_authority_may_not_sign(tmp_path, monkeypatch, names, good):
    top = make_authority(BOX, NOW)
    if not good:  # a thief of the key does not ask what may be signed
        monkeypatch.setattr(authority, "permits", lambda certificate, name: True)
    leaf = make_leaf(top, names, NOW)
    (tmp_path / "ca").write_bytes(chain_pem(top.chain))
    (tmp_path / "leaf").write_bytes(chain_pem(leaf.chain[:1]))
    done = subprocess.run(
        [need("openssl"), "verify", "-x509_strict", "-attime", str(int(NOW)), "-CAfile", tmp_path / "ca", tmp_path / "leaf"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) is good, done.stdout + done.stderr
    if not good:
        assert "permitted subtree violation" in done.stderr + done.stdout


def test_first_boot_makes_what_a_restart_finds(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    box = Box(tmp_path / "tls")
    first = box.served
    assert fingerprint(first) in caplog.text
    assert fingerprint(box.keeper.authority.certificate) in caplog.text
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "tls").iterdir()} == {0o600}
    box.again()
    assert box.served == first
    assert box.refresh() == (True, True)
    life_s = (first.not_valid_after_utc - first.not_valid_before_utc).total_seconds()
    assert life_s == 90 * DAY


def test_what_people_are_told_is_the_same_after_a_restart_that_reads_no_certificate(tmp_path):
    box = Box(tmp_path)
    told = box.keeper.told
    assert told.serving == authority.facts(box.served)
    assert told.authority == authority.facts(box.keeper.authority.certificate)
    again = Keeper(tmp_path, lambda: box.names, lambda: box.now_s)
    again.refresh()
    assert (again.told, again._made) == (told, None)
    assert not again.given_out
    again.give_out_authority()
    assert again.given_out


@pytest.mark.parametrize("whose", ["serving", "authority"])
def test_a_fingerprint_that_is_not_the_certificates_is_never_told(tmp_path, whose):
    """People compare it with what their browser shows."""
    box = Box(tmp_path)
    right, file = getattr(box.keeper.told, whose).fingerprint, tmp_path / "known.json"
    file.write_text(
        file.read_text().replace(right, "AA" + right[2:] if right[:2] != "AA" else "BB" + right[2:])
    )
    assert getattr(box.again().told, whose).fingerprint == right


def test_it_renews_at_two_thirds_of_its_life_and_keeps_its_authority(tmp_path):
    box = Box(tmp_path)
    box.now_s = NOW + 58 * DAY
    assert box.refresh() == (True, True)
    box.now_s = NOW + 60 * DAY
    assert box.refresh() == (False, True)
    assert authority.is_valid(box.served, NOW + 120 * DAY)


def test_new_names_and_addresses_are_in_the_next_certificate(tmp_path):
    """Nobody has fetched the authority: it is made anew when it could not vouch. Fetched, it stays while it can."""
    box = Box(tmp_path)
    box.names = names_of("ball", ["time.example.org"], interfaces("192.168.1.77/24"))
    assert box.refresh() == (False, True)
    assert authority.covers(box.served, "192.168.1.77")
    assert not authority.covers(box.served, "192.168.1.9")
    box.names = names_of("ball", [], interfaces("192.168.7.7/24"))
    assert box.refresh() == (False, False)
    box.keeper.give_out_authority()
    box.names = names_of("ball", ["new.example.org"], interfaces("192.168.7.7/24", "10.0.0.1/8"))
    assert box.refresh() == (True, True)
    assert authority.uncovered(box.keeper.authority.certificate, box.names) == ["new.example.org", "10.0.0.1"]
    box.again()
    assert box.keeper.given_out
    box.keeper.renew(authority=True)
    assert not box.keeper.given_out
    assert authority.covers(box.served, "new.example.org")


def test_a_box_that_moved_altogether_gets_a_new_authority_though_it_was_fetched(tmp_path):
    box = Box(tmp_path)
    box.keeper.give_out_authority()
    box.names = names_of("other", [], interfaces("172.16.0.1/16"))
    assert box.refresh() == (False, False)


@pytest.mark.parametrize(
    "wrong_s", [0.0, 1.0e9, 4.0e9, 1e11, 250e9], ids=["1970", "2001", "2096", "5138", "9892"]
)
def test_a_clock_that_was_wrong_at_boot_does_no_lasting_harm(tmp_path, wrong_s):
    """As soon as the clock is right there is a certificate that holds now; the authority stays, which somebody may trust."""
    box = Box(tmp_path, now_s=wrong_s)
    assert box.served is not None
    first = box.keeper.authority.certificate
    box.now_s = NOW
    box.keeper.refresh()
    assert authority.is_valid(box.served, NOW)
    assert authority.is_valid(box.keeper.authority.certificate, NOW)
    assert not authority.life(box.served).is_due(NOW)
    assert box.keeper.authority.certificate == first
    served = box.served
    box.again()
    assert box.served == served


@pytest.mark.parametrize("wrong_s", [0.0, RELEASED_S, 1.9e9, 2.3e9], ids=["1970", "build", "2030", "2042"])
def test_while_nobody_knows_the_time_readers_who_do_find_a_certificate_that_holds(tmp_path, wrong_s):
    """And with the right time it stays, so that the fingerprint on the screen stays, unless the clock was years ahead."""
    keeper = Keeper(tmp_path, lambda: BOX, lambda: wrong_s, lambda: False)
    keeper.refresh()
    first = keeper.serving.pair.certificate
    for readers_s in (NOW, RELEASED_S + 700 * DAY):
        assert authority.is_valid(first, readers_s)
        assert authority.is_valid(keeper.authority.certificate, readers_s)
    keeper.refresh()
    assert keeper.serving.pair.certificate == first
    box = Box(tmp_path)
    assert (box.served == first) is (wrong_s <= RELEASED_S)
    assert box.keeper.authority.certificate == keeper.authority.certificate
    assert box.refresh() == (True, True)


@pytest.mark.parametrize("name", ["authority.pem", "leaf.pem", "uploaded.pem"])
@pytest.mark.parametrize("damage", [b"", b"nonsense", None], ids=["empty", "nonsense", "half"])
def test_damaged_files_are_made_anew(tmp_path, name, damage):
    box = Box(tmp_path)
    if name == "uploaded.pem":
        _upload(box)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:300] if damage is None else damage)
    box.again()
    assert authority.is_valid(box.served, NOW)
    for below, above in pairwise(box.keeper.serving.pair.chain):
        below.verify_directly_issued_by(above)


def test_a_disk_that_cannot_be_written_keeps_nobody_from_being_served(tmp_path, caplog):
    blocker = tmp_path / "tls"
    blocker.write_text("in the way")
    box = Box(blocker)
    served = box.served
    assert "cannot be written" in caplog.text
    blocker.unlink()
    assert box.refresh() == (True, True)
    box.again()
    assert box.served == served


# -- one's own certificate -------------------------------------------------------------------------------------------


def issue(
    subject="time.example.org", *, by=None, key=None, ca=False, begins_s=NOW - DAY, ends_s=NOW + 90 * DAY,
    names=("time.example.org",), usage=x509.oid.ExtendedKeyUsageOID.SERVER_AUTH,
):  # fmt: skip
    """A certificate and its key, signed by the pair `by` or by itself."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    issuer = by[0].subject if by else name
    builder = (
        x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime.fromtimestamp(begins_s, dt.UTC)).not_valid_after(dt.datetime.fromtimestamp(ends_s, dt.UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )  # fmt: skip
    if names and not ca:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False
        )
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    signer = by[1] if by else key
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signer, algorithm), key


ROOT = issue("Root", ca=True)
MIDDLE = issue("Middle", by=ROOT, ca=True)
LEAF = issue(by=MIDDLE)


def texts(*pairs, key=None):
    return chain_pem([pair[0] for pair in pairs]).decode(), plain_pem(key or pairs[0][1])


def _upload(box, pair=LEAF):
    return box.keeper.upload(*texts(pair, MIDDLE))


def test_an_own_certificate_is_served_over_restarts_until_it_is_taken_back(tmp_path):
    box = Box(tmp_path)
    own = box.served
    assert _upload(box).warnings == ()
    assert (box.served, box.keeper.serving.source) == (LEAF[0], "uploaded")
    box.again()
    assert box.served == LEAF[0]
    assert box.refresh() == (True, True)
    assert stat.S_IMODE((tmp_path / "uploaded.pem").stat().st_mode) == 0o600
    assert box.keeper.reset() is True
    assert box.served == own
    assert box.keeper.reset() is False
    box.again()
    assert box.served == own


STRANGER = issue("Stranger", ca=True)
RSA_1024 = rsa.generate_private_key(public_exponent=65537, key_size=1024)
ED = ed25519.Ed25519PrivateKey.generate()
EXPIRED, EARLY = issue(ends_s=NOW - 1), issue(begins_s=NOW + DAY)
CLIENT = issue(usage=x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH)
NAMELESS = issue(names=())
NO_CA = issue("No authority")
LOCKED = (
    LEAF[1]
    .private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )
    .decode()
)


NAMES = (
    "a strange key",
    "expired",
    "early",
    "wrong order",
    "signed by a stranger",
    "authority first",
    "signed by no authority",
    "for clients",
    "nameless",
    "weak key",
    "odd key",
    "locked key",
    "empty",
    "empty key",
    "damaged",
    "damaged key",
    "too many",
    "too long",
)


@pytest.mark.parametrize(
    ("certificate", "key", "field", "word"),
    [
        (*texts(LEAF, MIDDLE, key=ROOT[1]), "key", "belongs to another certificate"),
        (*texts(EXPIRED), "certificate", "expired on 2027-01-15"),
        (*texts(EARLY), "certificate", "not valid before"),
        (*texts(LEAF, ROOT, MIDDLE), "certificate", "is not signed by the next one"),
        (*texts(LEAF, STRANGER), "certificate", "is not signed by the next one"),
        (*texts(MIDDLE, LEAF), "certificate", "the server's comes first"),
        (*texts(issue(by=NO_CA), NO_CA), "certificate", "no authority"),
        (*texts(CLIENT), "certificate", "not meant for servers"),
        (*texts(NAMELESS), "certificate", "subject alternative names"),
        (*texts(issue(key=RSA_1024)), "key", "1024 bits is too weak"),
        (*texts(issue(key=ED)), "key", "browsers do not take"),
        (texts(LEAF)[0], LOCKED, "key", "passphrase"),
        ("", "", "certificate", "no certificate in it"),
        ("", "", "key", "no key in it"),
        (texts(LEAF)[0][:400] + "\n-----END CERTIFICATE-----\n", texts(LEAF)[1], "certificate", "damaged"),
        (texts(LEAF)[0], texts(LEAF)[1][:80] + "\n-----END PRIVATE KEY-----\n", "key", "damaged"),
        (texts(LEAF)[0] * 11, texts(LEAF)[1], "certificate", "more than any chain has"),
        ("x" * 70_000, texts(LEAF)[1], "certificate", "no chain is"),
    ],
    ids=NAMES,
)  # fmt: skip
def test_a_bad_upload_is_refused_with_the_reason_and_changes_nothing(tmp_path, certificate, key, field, word):
    box = Box(tmp_path)
    before, files = box.served, sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(chain.BadChain) as refused:
        box.keeper.upload(certificate, key)
    assert word in refused.value.errors[field]
    assert box.served == before
    assert sorted(path.name for path in tmp_path.iterdir()) == files


def test_an_upload_for_other_names_or_without_its_issuer_is_used_with_a_warning(tmp_path):
    box = Box(tmp_path)
    checked = box.keeper.upload(*texts(issue(by=MIDDLE, names=("other.example",))))
    assert len(checked.warnings) == 2
    assert "other.example" in checked.warnings[0]
    assert box.keeper.upload(*texts(issue(by=MIDDLE, names=("*.example.org",)), MIDDLE)).warnings == ()


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_hostile_uploads_are_refused_and_never_crash(certificate, key):
    def wrapped(content, label):
        return f"-----BEGIN {label}-----\n{__import__('base64').b64encode(content).decode()}\n-----END {label}-----\n"

    with pytest.raises(chain.BadChain):
        chain.check(wrapped(certificate, "CERTIFICATE"), wrapped(key, "PRIVATE KEY"), BOX, NOW)
    with pytest.raises(chain.BadChain):
        chain.check(certificate.decode("latin-1"), key.decode("latin-1"), BOX, NOW)


async def test_what_is_served_is_tls_1_2_or_later_with_forward_secrecy(tmp_path):
    box = Box(tmp_path, here(), now_s=dt.datetime.now(dt.UTC).timestamp())
    server = await asyncio.start_server(
        lambda r, w: w.close(), "127.0.0.1", 0, ssl=box.keeper.serving.context
    )
    port = server.sockets[0].getsockname()[1]
    (tmp_path / "ca").write_bytes(chain_pem(box.keeper.authority.chain))

    async def tried(*flags):
        process = await asyncio.create_subprocess_exec(
            need("openssl"), "s_client", "-brief", "-connect", f"127.0.0.1:{port}", "-CAfile", str(tmp_path / "ca"),
            "-verify_return_error", "-verify_ip", "127.0.0.1", *flags,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        text = (await process.communicate())[0].decode()
        return process.returncode == 0 and "CONNECTION ESTABLISHED" in text

    assert await tried("-tls1_3")
    assert await tried("-tls1_2")
    for flags in (
        ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "AES128-SHA"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"),
    ):
        assert not await tried(*flags), flags
    server.close()
    await server.wait_closed()
    assert box.keeper.serving.context.minimum_version == ssl.TLSVersion.TLSv1_2
