"""Who sets this box's clock, and what does it read when it is switched on?"""

from __future__ import annotations

from appliance.api.contrib import Finding, HealthCheck
from appliance.api.model import Level
from appliance.doctor.surroundings import Surroundings, threaded

#: Programs that set the clock, by the kernel's name for them.
_DISCIPLINES = {
    "chronyd": "chronyd", "ntpd": "ntpd", "systemd-timesyn": "systemd-timesyncd", "openntpd": "openntpd",
    "ntpd-rs-daemon": "ntpd-rs", "ntp-daemon": "ntpd-rs",
}  # fmt: skip


def checks(around: Surroundings) -> list[HealthCheck]:
    def setters() -> Finding | None:
        return who_sets(around)

    def rtc() -> Finding | None:
        return rtc_in_local_time(around)

    def zone() -> Finding | None:
        return time_zone(around)

    return [
        HealthCheck(
            "clock setters", threaded(setters), Level.DEGRADED, well="one program sets the clock",
            why="Two programs that set one clock pull it to and fro; none lets it drift until it is refused by everybody.",
        ),
        HealthCheck(
            "hardware clock", threaded(rtc), Level.DEGRADED, well="the hardware clock is kept in UTC",
            why="In local time it is an hour wrong after each change to or from summer time, until the network is there.",
        ),
        HealthCheck("time zone", threaded(zone), well="logs are in UTC", why="NTP and this appliance know UTC only."),
    ]  # fmt: skip


def who_sets(around: Surroundings) -> Finding | None:
    """Too many or too few, or None."""
    found: dict[str, list[str]] = {}
    for process in around.proc.glob("[0-9]*"):
        try:
            comm = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
            if comm in _DISCIPLINES and (process / "cmdline").read_bytes():
                found.setdefault(_DISCIPLINES[comm], []).append(process.name)
        except OSError:
            continue  # it ended meanwhile
    evidence = tuple(
        f"{name} runs (process {', '.join(sorted(pids, key=int))})" for name, pids in sorted(found.items())
    )
    if len(found) > 1:
        spare = "systemd-timesyncd" if "systemd-timesyncd" in found else max(found)
        return Finding(
            f"{' and '.join(sorted(found))} both set the clock", id="two", evidence=evidence, remedy=f"switch {spare} off",
            commands=(f"systemctl disable --now {spare}",),
        )  # fmt: skip
    # Without the plugin that watches the clock nobody claims anything about it.
    source = getattr(around.config.plugins.get("clock"), "source", "local")
    if not (around.proc / "1").exists():
        return (
            None  # a sealed service sees its own processes only; what chronyd says, the clock's plugin tells
        )
    if not found and source != "local":
        return Finding(
            "no program that is known here sets the clock", id="none", evidence=("no chronyd, ntpd or timesyncd runs",),
            remedy="let chronyd set it", commands=("apt-get install chrony",),
        )  # fmt: skip
    if found.keys() == {"systemd-timesyncd"} and source != "local":
        return Finding(
            "systemd-timesyncd sets the clock: it is good enough to be a client, not to serve", id="timesyncd",
            evidence=evidence, remedy="let chronyd set it: it knows how wrong it may be, and says so",
            commands=("apt-get install chrony",), why="It asks one server, checks it against none, and cannot tell its error.",
        )  # fmt: skip
    return None


def rtc_in_local_time(around: Surroundings) -> Finding | None:
    """From the third line of /etc/adjtime (hwclock(8))."""
    try:
        lines = (around.root / "etc/adjtime").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    if len(lines) < 3 or lines[2].strip() != "LOCAL":
        return None
    return Finding(
        "the hardware clock is kept in local time", id="local", evidence=("the third line of /etc/adjtime says LOCAL",),
        remedy="keep it in UTC", commands=("timedatectl set-local-rtc 0",),
    )  # fmt: skip


def time_zone(around: Surroundings) -> Finding | None:
    """Another zone than UTC is no fault; it is said because logs of other programs are in it."""
    link = around.root / "etc/localtime"
    try:
        zone = str(link.readlink()).partition("zoneinfo/")[2]
    except OSError:
        return None
    if zone in ("", "UTC", "Etc/UTC", "Universal", "Etc/Universal", "Zulu"):
        return None
    return Finding(
        f"this box shows local times of {zone}", info=True, id="local", evidence=(f"/etc/localtime leads to {zone}",),
        remedy="nothing has to be done; pages and logs of the appliance are in UTC",
    )  # fmt: skip
