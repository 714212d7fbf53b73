"""What the network sees of a fresh box."""

from __future__ import annotations

from images.testing import probes
from images.testing.bench import Bench, case, check
from images.testing.cases.b_boot import CODE, START_S, ready
from images.testing.machine import Machine

SOA, A = 6, 1
ZONE = "pool.home.arpa"
PASSWORD = "a raven writes 7 desks at noon"  # noqa: S105 - of a machine that lives for a minute


@case(4, "answers NTP", shared=True)
def ntp(bench: Bench) -> str:
    """Its own clock has no source: it must say so (leap 3), and answer all the same."""
    machine = bench.shared()
    machine.until(lambda: probes.ntp(machine.ports["ntp"]) is not None, START_S, "NTP answers", alive=True)
    reply = probes.ntp(machine.ports["ntp"], 30)
    check(
        reply is not None and (reply.leap, reply.stratum) == (3, 0),
        f"without any time source it says {reply}",
    )
    return f"{reply}"


@case(4, "answers DNS, UDP and TCP", shared=True)
def dns(bench: Bench) -> str:
    machine = bench.shared()
    for tcp, port in ((False, "dns"), (True, "dns-tcp")):
        machine.until(
            lambda tcp=tcp, port=port: probes.dns(machine.ports[port], ZONE, SOA, tcp=tcp) is not None,  # type: ignore[misc]
            START_S,
            f"DNS answers ({port})",
            alive=True,
        )
        reply = probes.dns(machine.ports[port], ZONE, SOA, tcp=tcp, within_s=30)
        check(reply is not None and reply.code == 0 and reply.answers == 1, f"{port}: {reply}")
    return f"SOA of {ZONE}"


@case(4, "answers HTTP and HTTPS", shared=True)
def web(bench: Bench) -> str:
    """Plain HTTP leads to HTTPS; the certificate is the one whose fingerprint the console shows."""
    machine = bench.shared()
    ready(machine)
    browser = {"Accept": "text/html"}
    plain = probes.web(machine.ports["http"], "/", heads=browser, within_s=60)
    check(plain is not None and plain.status < 400, f"http says {plain}")
    sealed = probes.web(machine.ports["https"], "/", tls=True, heads=browser, within_s=60)
    check(sealed is not None and sealed.status < 400, f"https says {sealed}")
    shown = machine.wait_said(r"timeball fingerprint: ([0-9A-F:]{95})", START_S)[1]
    seen = probes.fingerprint(machine.ports["https"], 60)
    check(seen == shown, f"the console shows {shown}, the certificate has {seen}")
    return f"http {plain.status if plain else ''}, https {sealed.status if sealed else ''}"


@case(32, "a fresh box belongs to nobody, and says so", shared=True)
def unclaimed(bench: Bench) -> str:
    machine = bench.shared()
    ready(machine)
    says_unclaimed(machine)
    return ""


def says_unclaimed(machine: Machine) -> None:
    """It tells programs that it has no owner, and shows people the page where they become it."""
    reply = probes.web(machine.ports["https"], "/api/v1/setup", tls=True, within_s=60)
    check(reply is not None and reply.json() == {"claimed": False}, f"{reply}")
    page = probes.web(machine.ports["https"], "/setup", tls=True, heads={"Accept": "text/html"}, within_s=60)
    check(page is not None and page.status == 200 and b"code" in page.body, f"/setup: {page and page.status}")


@case(32, "the code on the serial console claims it", shared=True)
def claim(bench: Bench) -> str:
    machine = bench.shared()
    ready(machine)
    claim_by_code(machine)
    return ""


def claim_by_code(machine: Machine) -> None:
    """A wrong code does not claim it; afterwards nobody else can, and the console says that it has an owner."""

    def claim_with(code: str) -> probes.WebReply:
        body = {"code": code, "name": "ada", "password": PASSWORD}
        reply = probes.web(
            machine.ports["https"], "/api/v1/setup/claim", tls=True, method="POST", body=body, within_s=120
        )
        check(reply is not None, "no answer")
        assert reply is not None
        return reply

    wrong = claim_with("AAAA-AAAA")
    check(wrong.status in (400, 401, 403), f"a wrong code: {wrong.status} {wrong.body[:200]!r}")
    right = claim_with(machine.wait_said(CODE, START_S)[1])
    check(right.status == 200, f"the right code: {right.status} {right.body[:200]!r}")
    again = claim_with("AAAA-AAAA")
    check(again.status in (401, 403, 409), f"a second owner: {again.status}")
    machine.wait_said(r"timeball owner: claimed", START_S)
    cookie = right.heads.get("set-cookie", "").partition(";")[0]
    members = probes.web(
        machine.ports["https"], "/api/v1/members", tls=True, heads={"Cookie": cookie}, within_s=60
    )
    check(members is not None and members.status == 200, f"the owner asks for the members: {members}")
