"""What the Debian package is made of, as far as it can be known without building it."""

from __future__ import annotations

import gzip
import itertools
import re
import subprocess
import sys
from email.utils import parsedate_to_datetime

import click
import pytest

from tests.support.programs import need
from tests.support.tree import ROOT

DEBIAN = ROOT / "packaging" / "debian"


@pytest.fixture(scope="module", autouse=True)
def modules():
    """The scripts' own modules; they stand beside each other, as they do when they run."""
    before = list(sys.path)
    sys.path += [str(DEBIAN), str(DEBIAN.parent)]
    yield
    sys.path[:] = before


def test_maintainer_scripts_are_right_for_a_plain_shell() -> None:
    for name in ("postinst", "prerm", "postrm"):
        text = (DEBIAN / name).read_text().replace("@UNITS@", "a.service b.socket")
        assert text.startswith("#!/bin/sh\nset -e\n")
        done = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), name


def test_units_that_the_package_enables_exist_and_take_over_nothing() -> None:
    import build

    for name in build.ENABLED:
        unit = ROOT / "packaging" / "systemd" / name
        assert unit.is_file()
        assert "TTYPath" not in unit.read_text()


def test_libraries_are_locked_for_the_target_and_not_for_this_machine() -> None:
    import python_files
    from release import ARCHITECTURES

    for architecture in ARCHITECTURES.values():
        blocks = python_files.locked(architecture)
        assert {"aiohttp", "cryptography", "pydantic-core", "scapy"} <= blocks.keys()
        assert "setuptools" not in blocks  # builds the project; nothing runs with it
        assert all("--hash=sha256:" in block for block in blocks.values())
    marked = 'one==1 ; sys_platform == "win32" \\\n    --hash=sha256:00\n'
    assert not python_files._runs(marked, ARCHITECTURES["arm64"])
    marked = 'one==1 ; python_full_version < "3.12" \\\n    --hash=sha256:00\n'
    assert not python_files._runs(marked, ARCHITECTURES["arm64"])
    marked = 'one==1 ; platform_machine == "aarch64" \\\n    --hash=sha256:00\n'
    assert python_files._runs(marked, ARCHITECTURES["arm64"])
    assert not python_files._runs(marked, ARCHITECTURES["amd64"])


def test_a_build_between_releases_is_older_than_the_release_and_newer_than_earlier_builds() -> None:
    dpkg = need("dpkg")
    builds = ["0.0.9", "0.1.0~git20261126.210503.aaaaaaa", "0.1.0~git20261127.000001.0000000", "0.1.0"]
    for one, next_ in itertools.pairwise(builds):
        assert subprocess.run([dpkg, "--compare-versions", one, "lt", next_], check=False).returncode == 0


def test_every_command_has_a_manual_page_that_man_reads_without_a_complaint(tmp_path) -> None:
    import manual_pages

    from appliance.cli import build

    root = build()
    pages = manual_pages.pages(root, "0.1.0", 1_790_000_000)
    assert pages == manual_pages.pages(root, "0.1.0", 1_790_000_000)
    shown = [name for name, command in root.commands.items() if not command.hidden]
    assert sorted(pages) == sorted(["timeball.1", *(f"timeball-{name}.1" for name in shown)])
    for name, text in pages.items():
        (tmp_path / name).write_text(text)
        done = subprocess.run(
            [need("man"), "--warnings", "--encoding=utf8", "-l", tmp_path / name],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), name
        assert "NAME" in done.stdout


def test_nothing_in_a_help_text_is_taken_for_a_request() -> None:
    import manual_pages

    command = click.Command("odd", help=".TH is no title\n\n\b\n'quoted\n.so /etc/passwd\n\nC:\\\\new -x")
    root = click.Group("timeball", help="-", commands={"odd": command})
    page = manual_pages.pages(root, "1", 0)["timeball-odd.1"]
    requests = re.findall(r"^[.'](\w+)", page, re.MULTILINE)
    assert set(requests) <= {"TH", "nh", "ad", "SH", "TP", "PP", "BR", "nf", "fi"}
    assert len(re.findall(r"^\.TH ", page, re.MULTILINE)) == 1
    assert r"\e\enew \-x" in page


def test_the_changelog_is_one_that_debian_reads(tmp_path) -> None:
    import entries
    from release import Release

    text = entries.text(Release("0.1.0~git20261126.210503.aaaaaaa", 1_790_000_000, "a" * 40))
    assert text.startswith("timeball (0.1.0~git20261126.210503.aaaaaaa) unstable; urgency=medium\n\n  * ")
    assert (
        parsedate_to_datetime(re.search(r" -- .*>  (.*)$", text, re.MULTILINE)[1]).timestamp()
        == 1_790_000_000
    )
    assert max(map(len, text.splitlines())) < 140


def test_everybodys_work_is_named_and_texts_that_debian_has_are_not_repeated(tmp_path) -> None:
    import notices
    from release import ARCHITECTURES

    gpl = (
        "GNU GENERAL PUBLIC LICENSE\n                       Version 2, June 1991\n\n Copyright (C) 1989 Free Software\n"
        + "x\n" * 5000
    )
    for name, licence, text in (
        ("one", "MIT", "Copyright (c) 2020 A. Author\n\nPermission is hereby granted\n"),
        ("scapy", "GPL-2.0-only", gpl),
    ):
        about = tmp_path / "site" / f"{name}-1.2.dist-info"
        (about / "licenses").mkdir(parents=True)
        (about / "licenses/LICENSE").write_text(text)
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.2\nLicense-Expression: {licence}\n"
        )
        (about / "RECORD").write_text(
            f"{name}/__init__.py,,\n{about.name}/METADATA,,\n{about.name}/licenses/LICENSE,,\n"
        )
    vendor = tmp_path / "site/appliance_web/static/vendor"
    vendor.mkdir(parents=True)
    (vendor / "uplot-LICENSE.txt").write_text("Copyright (c) 2022 L. Sorokin\n")
    text = notices.copyright_file(tmp_path, "site", ARCHITECTURES["arm64"], native=False)
    assert (
        "Files: site/one/* site/one-1.2.dist-info/*\nCopyright: Copyright (c) 2020 A. Author\nLicense: MIT\n"
        in text
    )
    assert (
        "Copyright: the authors of scapy\nLicense: GPL-2.0-only\n On Debian systems the text of GPL-2 is in"
        in text
    )
    assert "child process" in text
    assert "L. Sorokin" in text
    assert "Free Software" not in text
    assert all(
        line.startswith((" ", "Files:", "Copyright:", "License:", "Comment:", "Format:", "Upstream-Name:"))
        for line in text.splitlines()
        if line
    )


def test_the_same_text_gives_the_same_compressed_file(tmp_path) -> None:
    import archive

    for name in ("a", "b"):
        archive.put_gz(tmp_path, f"{name}/page.1", "text\n")
    one, two = ((tmp_path / name / "page.1.gz").read_bytes() for name in ("a", "b"))
    assert one == two
    assert gzip.decompress(one) == b"text\n"


def test_the_shipped_configuration_has_no_members_and_no_mistakes(tmp_path) -> None:
    text = (DEBIAN / "config.toml").read_text()
    assert "[[plugins.members.member]]" not in re.sub(r"^#.*", "", text, flags=re.MULTILINE)
    assert "example" not in text
    done = subprocess.run(
        [sys.executable, "-m", "appliance", "check", "--config", DEBIAN / "config.toml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_package_that_cannot_be_made_leaves_the_one_before(tmp_path) -> None:
    import archive

    need("dpkg-deb")
    stage, deb = tmp_path / "stage", tmp_path / "out/timeball_1_all.deb"
    control = stage / "DEBIAN/control"
    control.parent.mkdir(parents=True)
    control.write_text(
        "Package: timeball\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: a\n"
    )
    digest = archive.pack(stage, deb, 0)
    before = deb.read_bytes()
    control.write_text("this is no control file\n")
    with pytest.raises(SystemExit, match="dpkg-deb failed"):
        archive.pack(stage, deb, 0)
    assert deb.read_bytes() == before
    assert [path.name for path in deb.parent.iterdir()] == [deb.name]
    control.write_text(
        "Package: timeball\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: a\n"
    )
    assert archive.pack(stage, deb, 0) == digest
