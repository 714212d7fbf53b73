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


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """Fetching into a folder of the test, with its own copy of what is pinned."""
    for name in ("VENDOR", "WORK", "PINNED"):
        monkeypatch.setattr(browser_files, name, tmp_path / name.lower())
    shutil.copytree(ROOT / "packaging" / "web", tmp_path / "pinned")
    return tmp_path


def test_every_package_is_pinned_by_hash_and_none_by_address():
    locked = json.loads((ROOT / "packaging/web/package-lock.json").read_text())["packages"]
    wanted = json.loads((ROOT / "packaging/web/package.json").read_text())["dependencies"]
    taken = {path: about for path, about in locked.items() if path}
    assert {path.removeprefix("node_modules/") for path in taken} == set(wanted)
    for path, about in taken.items():
        assert about["version"] == wanted[path.removeprefix("node_modules/")]
        assert about["integrity"].startswith("sha512-")
        assert "resolved" not in about


def test_without_npm_it_says_so_in_one_line_and_goes_on(elsewhere, monkeypatch):
    monkeypatch.setattr(browser_files.shutil, "which", lambda name: None)
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
    lock = elsewhere / "pinned" / "package-lock.json"
    text = lock.read_text()
    start = text.index("sha512-") + len("sha512-")
    lock.write_text(f"{text[:start]}{'A' * 86}{text[start + 86 :]}")
    assert "npm failed" in browser_files.fetch()
