"""What the pages take from others is pinned by version and hash, holds no address, and may be missing."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.programs import cannot_run, need
from tests.support.tree import ROOT

sys.path.insert(0, str(ROOT / "packaging"))

import browser_files
import npm


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """Fetching into a folder of the test, with its own copy of what is pinned."""
    monkeypatch.setattr(browser_files, "VENDOR", tmp_path / "vendor")
    for name in ("WORK", "PINNED"):
        monkeypatch.setattr(npm, name, tmp_path / name.lower())
    shutil.copytree(ROOT / "packaging" / "web", tmp_path / "pinned" / "web")
    return tmp_path


@pytest.mark.parametrize("name", ["web", "axe", "lighthouse"])
def test_every_package_is_pinned_by_hash_and_none_by_address(name):
    locked = json.loads((ROOT / "packaging" / name / "package-lock.json").read_text())["packages"]
    about = json.loads((ROOT / "packaging" / name / "package.json").read_text())
    wanted = {**about.get("dependencies", {}), **about.get("devDependencies", {})}
    taken = {path.removeprefix("node_modules/"): about for path, about in locked.items() if path}
    assert {key: taken[key]["version"] for key in wanted} == wanted
    for about in taken.values():
        assert about["integrity"].startswith("sha512-")
        assert "resolved" not in about


def test_what_travels_with_the_pages_is_named_one_by_one():
    locked = json.loads((ROOT / "packaging/web/package-lock.json").read_text())["packages"]
    wanted = json.loads((ROOT / "packaging/web/package.json").read_text())["dependencies"]
    assert {path.removeprefix("node_modules/") for path in locked if path} == set(wanted)


def test_without_npm_it_says_so_in_one_line_and_goes_on(elsewhere, monkeypatch):
    monkeypatch.setattr(npm.shutil, "which", lambda name: None)
    assert browser_files.fetch() == "charts cannot be zoomed: npm is not installed"
    with pytest.raises(SystemExit, match="drawn on the server"):
        browser_files.fetch(insist=True)


def test_what_is_fetched_is_what_is_meant(elsewhere):
    """The files come, the second time nothing is asked for, and a package of another hash is refused."""
    need("npm")
    said = browser_files.fetch()
    if "fetched" not in said:
        cannot_run(said)
    assert {p.name for p in browser_files.VENDOR.iterdir()} == {*browser_files.TAKEN.values(), "pinned"}
    assert browser_files.fetch() == "the chart library is there"
    lock = elsewhere / "pinned" / "web" / "package-lock.json"
    text = lock.read_text()
    start = text.index("sha512-") + len("sha512-")
    lock.write_text(f"{text[:start]}{'A' * 86}{text[start + 86 :]}")
    assert "npm failed" in browser_files.fetch()
