"""Installing a plugin: offline, checked first, swapped whole, and taken back; a box that does not stay up leaves it out."""

import hashlib
import json
import os
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.cli import Admin, Failure
from appliance.cli import build
from appliance.host.starts import MOST_FAILED, Starts, chosen_at_boot
from appliance.kit import wheels
from appliance.kit.installed import CannotInstall, Installed, Root
from tests.host.test_new_plugin import written
from tests.support.tree import ROOT
from tests.support.wait import wait_until
from tests.support.wheels import make_wheel


def command(state, *words):
    return CliRunner().invoke(build(), ["plugin", *words, "--state-dir", str(state), "--json"])


def listed(state):
    return json.loads(command(state, "installed").stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A plugin as its author gives it away."""
    folder = written(tmp_path_factory.mktemp("author") / "p", "--hooks", "run,routes")
    line = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*line, "--wheel-dir", str(folder / "dist"), str(folder)], check=True, capture_output=True)
    (made,) = (folder / "dist").glob("*.whl")
    return made


def test_a_wheel_is_installed_offline_listed_removed_and_brought_back(tmp_path, wheel):
    done = command(tmp_path, "install", str(wheel), "--no-index")
    assert done.exit_code == 0, done.output
    value = json.loads(done.stdout)
    assert (value["name"], value["plugins"]) == ("timeball-hello", ["hello"])
    assert {entry["state"] for entry in value["checks"]} <= {"passed", "skipped"}
    now = listed(tmp_path)
    assert [(r["name"], r["version"]) for r in now["installed"]] == [("timeball-hello", "0.1.0")]
    assert now["changed"] == []
    one = now["installed"][0]
    assert (one["source"], one["sha256"]) == (str(wheel), hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert one["at"] == pytest.approx(now["history"][0]["ts"], abs=60)
    assert set(one["quality"]) == {"hello"}
    (tmp_path / "plugins.d/current/appliance_hello/tally.py").write_text("changed = True\n", encoding="utf-8")
    assert listed(tmp_path)["changed"] == ["appliance_hello/tally.py"]
    assert command(tmp_path, "remove", "hello").exit_code == 0
    assert listed(tmp_path)["installed"] == []
    assert command(tmp_path, "rollback").exit_code == 0
    assert [r["name"] for r in listed(tmp_path)["installed"]] == ["timeball-hello"]
    assert [line["what"].split()[0] for line in listed(tmp_path)["history"]] == [
        "went",
        "removed",
        "installed",
    ]
    assert command(tmp_path, "rollback").exit_code == 0
    assert not (tmp_path / "plugins.d/current").exists()
    assert command(tmp_path, "rollback").exit_code == 1


def test_one_that_fails_the_checks_is_not_installed_and_nothing_stays(tmp_path):
    folder = written(tmp_path / "p", "--hooks", "run")
    source = folder / "appliance_hello/__init__.py"
    text = source.read_text(encoding="utf-8")
    source.write_text(
        text.replace("    ctx.ready()\n", '    raise RuntimeError("no cable")\n'), encoding="utf-8"
    )
    done = command(tmp_path / "s", "install", str(folder), "--no-index")
    assert done.exit_code == 1
    assert "no cable" in done.output
    assert list((tmp_path / "s/plugins.d").iterdir()) == []


def test_a_file_is_held_to_the_sum_that_was_named_and_its_sum_is_printed_otherwise(tmp_path, wheel):
    """A wheel, an address and a name; whatever is refused leaves nothing."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    state = tmp_path / "s"
    offline = ["--no-index", "--find-links", str(wheel.parent)]
    for source in (str(wheel), wheel.as_uri(), "timeball-hello"):
        done = command(state, "install", source, *offline, "--sha256", "0" * 64)
        assert (done.exit_code, list((state / "plugins.d").iterdir())) == (1, []), done.output
        assert digest in done.output, done.output
    done = command(state, "install", str(wheel), *offline, "--sha256", "0" * 64)
    assert "is not the file that was asked for" in done.output
    assert "do not install it" in done.output
    for source in (str(wheel), wheel.as_uri(), "timeball-hello"):
        done = command(state, "install", source, *offline, "--sha256", digest.upper())
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["sha256"] == listed(state)["installed"][0]["sha256"] == digest

    def plainly(*words):
        return CliRunner().invoke(build(), ["plugin", *words, "--state-dir", str(state)]).output

    assert f"SHA-256 of its file: {digest}" in plainly("install", str(wheel), *offline)
    assert digest not in plainly("install", str(wheel), *offline, "--sha256", digest)


def test_a_source_distribution_with_another_sum_is_not_even_built(tmp_path):
    sdist = tmp_path / "hello-1.0.tar.gz"
    sdist.write_bytes(b"no archive: whoever opens it fails with other words")
    done = command(tmp_path / "s", "install", str(sdist), "--no-index", "--sha256", "0" * 64)
    assert (done.exit_code, "is not the file that was asked for" in done.output) == (1, True), done.output


def test_who_removes_a_plugin_of_one_file_hears_where_the_file_is(tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/hello.py").touch()
    done = command(tmp_path, "remove", "hello")
    assert (done.exit_code, f"mv {tmp_path}/plugins/hello.py" in done.output) == (1, True), done.output
    assert "mv " not in command(tmp_path, "remove", "other").output


@pytest.mark.parametrize(
    ("source", "digest", "says"),
    [("x.whl", "12", "is no SHA-256"), ("x.whl", "g" * 64, "is no SHA-256"),
     ("git+https://nowhere.example/x", "0" * 64, "a repository has no SHA-256"),
     (str(ROOT), "0" * 64, "a folder has no SHA-256")],
)  # fmt: skip
def test_a_sum_that_can_hold_nothing_is_refused(tmp_path, source, digest, says):
    done = command(tmp_path, "install", source, "--no-index", "--sha256", digest)
    assert (done.exit_code != 0, says in done.output) == (True, True), done.output


@pytest.mark.parametrize(
    ("source", "says"),
    [("nowhere/x.whl", "nothing at"), ("aiohttp", "part of the appliance itself"), ("timeball", "part of the appliance"),
     (str(ROOT / "Makefile"), "is no wheel"), (str(ROOT / "tests/conftest.py"), "a plugin of one file"),
     ("file:///nowhere/at-all", "pip refused"), (str(ROOT / "tests"), "no pyproject.toml")],
)  # fmt: skip
def test_what_cannot_be_a_plugin_is_refused_and_nothing_changes(tmp_path, source, says):
    done = command(tmp_path, "install", source, "--no-index")
    assert (done.exit_code, says in done.output) == (1, True), done.output
    assert list((tmp_path / "plugins.d").iterdir()) == []


PLUGIN = """
import pebble
from appliance import PluginInfo

plugin = PluginInfo(id="skip", title=pebble.TITLE, api=1)
"""


def pebble(folder, *, title="Skip"):
    return make_wheel(folder, "pebble", "1.0", {"pebble.py": f'TITLE = "{title}"\n'})


def skipping(folder, *requires, version="1.0", **files):
    return make_wheel(
        folder, "skip-stones", version, {"appliance_skip.py": PLUGIN, **files},
        requires=("pebble", *requires), plugins={"skip": "appliance_skip"},
    )  # fmt: skip


def test_what_a_plugin_needs_comes_with_it_and_goes_with_it(tmp_path):
    pebble(tmp_path / "wheels")
    offline = ["--no-index", "--find-links", str(tmp_path / "wheels")]
    done = command(tmp_path, "install", str(skipping(tmp_path)), *offline)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["brought"] == {"pebble": "1.0"}
    done = command(tmp_path, "install", str(skipping(tmp_path, version="2.0")), *offline)
    assert done.exit_code == 0, done.output
    assert [r["version"] for r in listed(tmp_path)["installed"]] == ["2.0"]
    assert command(tmp_path, "remove", "skip-stones").exit_code == 0
    left = sorted(path.name for path in (tmp_path / "plugins.d/current").iterdir())
    assert left == ["lock.json"]


def test_a_plugin_cannot_move_what_the_appliance_brings(tmp_path):
    pebble(tmp_path / "wheels")
    make_wheel(tmp_path / "wheels", "aiohttp", "1.0", {"aiohttp/__init__.py": "old = True\n"})
    source = skipping(tmp_path, "aiohttp<2")
    done = command(tmp_path, "install", str(source), "--no-index", "--find-links", str(tmp_path / "wheels"))
    assert done.exit_code == 1
    assert "(constraint) aiohttp==" in done.output
    assert list((tmp_path / "plugins.d").iterdir()) == []


def test_a_file_of_a_plugin_that_is_called_like_ours_takes_no_place(tmp_path):
    """Its folder stands behind the appliance's own packages on the import path."""
    pebble(tmp_path / "wheels")
    source = skipping(tmp_path, **{"aiohttp.py": "raise SystemExit('mine')\n"})
    done = command(tmp_path, "install", str(source), "--no-index", "--find-links", str(tmp_path / "wheels"))
    assert done.exit_code == 0, done.output
    line = "import sys; from pathlib import Path; from appliance.kit.installed import on_path; "
    line += (
        "on_path(Path(sys.argv[1])); import aiohttp, appliance_skip; print(aiohttp.ClientSession.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", line, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "ClientSession\n", done.stderr


def test_a_wheel_that_is_no_plugin_is_refused(tmp_path):
    done = command(tmp_path, "install", str(pebble(tmp_path)), "--no-index")
    assert (done.exit_code, "names none in the entry points" in done.output) == (1, True), done.output


def test_without_pip_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(wheels.shutil, "which", lambda name: None)
    with pytest.raises(CannotInstall) as why:
        wheels.bring(Installed(tmp_path), tmp_path, "x")
    assert "apt install python3-pip" in why.value.remedy


def test_only_the_last_few_states_are_kept(tmp_path):
    installed = Installed(tmp_path)
    for number in range(8):
        with installed.draft() as folder:
            (folder / "x").write_text(str(number), encoding="utf-8")
            installed.keep(folder, (Root("x", str(number), "here"),), f"installed {number}")
    assert (tmp_path / "plugins.d/current/x").read_text(encoding="utf-8") == "7"
    assert len(installed.dated()) == 5
    assert [installed.roll_back() != "" for _ in range(4)] == [True] * 4
    with pytest.raises(CannotInstall, match="not there any more"):
        installed.roll_back()


def test_a_draft_that_is_not_kept_leaves_what_was(tmp_path):
    installed = Installed(tmp_path)
    with pytest.raises(OSError), installed.draft() as folder:
        (folder / "half").write_text("x", encoding="utf-8")
        raise OSError
    assert installed.current() is None
    assert installed.dated() == []


@given(text=st.binary(max_size=60))
def test_a_damaged_book_of_starts_never_stops_a_start(text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("s")
    (folder / "starts.json").write_bytes(text)
    assert Starts(folder).begin() == ""


def test_a_damaged_lock_file_is_told(tmp_path):
    (tmp_path / "plugins.d/x").mkdir(parents=True)
    (tmp_path / "plugins.d/x/lock.json").write_text("{", encoding="utf-8")
    (tmp_path / "plugins.d/current").symlink_to("x")
    done = command(tmp_path, "installed")
    assert (done.exit_code, "cannot be read" in done.output) == (1, True)


def test_three_failed_starts_lead_to_safe_mode_which_names_the_newest_and_stays(tmp_path):
    for _ in range(MOST_FAILED):
        starts = Starts(tmp_path)
        assert starts.begin("hook") == ""
        starts.loaded(["hello (x 1)", "hook (y 2)"])
    starts = Starts(tmp_path)
    assert "3 times in a row with hook" in starts.begin("hook")
    assert "hook" in starts.problems()[0].text
    starts.settled()
    assert Starts(tmp_path).begin() != "", "until somebody says so"
    assert Starts(tmp_path).leave()
    assert Starts(tmp_path).begin() == ""


def test_starts_without_other_peoples_plugins_are_never_their_fault(tmp_path):
    for _ in range(10):
        assert Starts(tmp_path).begin() == ""


def test_one_that_settles_is_forgiven(tmp_path):
    for _ in range(20):
        starts = Starts(tmp_path)
        assert starts.begin() == ""
        starts.loaded(["hello (x)"])
        starts.settled()


def test_a_plugin_that_ends_the_process_is_left_out_of_the_fourth_start(tmp_path):
    """The real process, again and again as a service manager would start it."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/crash.py").write_text("import os\nos._exit(9)\n", encoding="utf-8")
    config = tmp_path / "config.toml"
    config.write_text(
        '[plugins.clock]\nsource = "local"\n[plugins.ntp]\nlisten = ["127.0.0.1:0"]\n[plugins.dns]\nenabled = false\n'
        '[plugins.web]\nlisten = "127.0.0.1:0"\n[plugins.crash]\nany = 1\n',
        encoding="utf-8",
    )
    line = [sys.executable, "-m", "appliance", "run", "--config", str(config), "--state-dir", str(tmp_path)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TIMEBALL_")}
    for _ in range(MOST_FAILED):
        assert subprocess.run(line, check=False, capture_output=True, env=environment).returncode == 9
    with subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(
                lambda: (tmp_path / "admin.sock").exists() or process.poll() is not None, "it to start", 60
            )
            told = json.loads(command_of("doctor", tmp_path).stdout)
            assert "crash" in json.dumps(told)
            plugins = json.loads(command(tmp_path, "list").stdout)
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert next(p["state"] for p in plugins if p["id"] == "crash") == "disabled"


def command_of(name, state):
    return CliRunner().invoke(build(), [name, "--state-dir", str(state), "--json"])


def test_safe_mode_of_the_boot_menu_holds_for_that_start_of_the_box_and_says_so(tmp_path):
    flag = tmp_path / "safe-mode"
    assert chosen_at_boot(flag) == ""
    flag.write_text("safe mode was chosen in the boot menu\n")
    starts = Starts(tmp_path / "state")
    starts.begin()
    starts.safe = chosen_at_boot(flag)
    assert starts.safe_mode(left_out=True) == {"why": "safe mode was chosen in the boot menu", "ends": True}


def test_what_is_installed_runs_at_once_when_that_is_asked_for_in_the_same_process(tmp_path, wheel):
    """`--restart`: the command waits until it is back, and says how the plugin does; `restart` alone does the same."""
    config = tmp_path / "c.toml"
    config.write_text(
        '[plugins.clock]\nsource = "local"\n[plugins.ntp]\nlisten = ["127.0.0.1:0"]\n[plugins.web]\nenabled = false\n',
        encoding="utf-8",
    )
    state = tmp_path / "s"
    line = [sys.executable, "-m", "appliance", "run", "--config", str(config), "--state-dir", str(state)]
    with subprocess.Popen(line, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(
                lambda: asked(state, "/api/v1/health") is not None, "the appliance to answer", timeout_s=120
            )
            before = asked(state, "/api/v1/status")["started_at"]
            done = command(state, "install", str(wheel), "--no-index", "--restart")
            assert done.exit_code == 0, done.output
            assert "hello is running" in done.stderr
            assert asked(state, "/api/v1/status")["started_at"] > before
            assert asked(state, "/p/hello/beats") == {"beats": 0}
            assert asked(state, "/api/v1/plugins/installed")["waits_for_restart"] == ""
            assert command(state, "rollback").exit_code == 0
            assert "no plugin is installed" in asked(state, "/api/v1/plugins/installed")["waits_for_restart"]
            done = CliRunner().invoke(build(), ["restart", "--state-dir", str(state), "--json"])
            assert done.exit_code == 0, done.output
            assert json.loads(done.stdout)["took_s"] > 0
            assert asked(state, "/p/hello/beats") is None
            assert process.poll() is None, "it is the same process"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def test_where_nobody_runs_a_restart_is_said_to_be_unneeded(tmp_path, wheel):
    done = command(tmp_path, "install", str(wheel), "--no-index", "--restart")
    assert done.exit_code == 0, done.output
    assert "No appliance runs here" in done.stderr


def asked(state, path):
    """What the appliance answers, or None."""
    try:
        return Admin(state / "admin.sock").get(path)
    except Failure:
        return None


def other(folder, name, *, plugin_id="other", package="appliance_other"):
    """A plugin of another distribution."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text(
        f'from appliance import PluginInfo\nplugin = PluginInfo(id="{plugin_id}", title="Other", api=1)\n',
        encoding="utf-8",
    )
    (folder / "pyproject.toml").write_text(
        f'[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n[project]\nname = "{name}"\n'
        f'version = "1"\n[project.entry-points."appliance.plugins"]\n{plugin_id} = "{package}"\n[tool.setuptools]\n'
        f'packages = ["{package}"]\n',
        encoding="utf-8",
    )
    return str(folder)


def test_two_of_one_id_or_with_the_same_files_are_refused_and_the_first_stays_as_it_is(tmp_path, wheel):
    state = tmp_path / "s"
    assert command(state, "install", str(wheel), "--no-index").exit_code == 0
    for number, (source, says) in enumerate((
        (other(tmp_path / "a", "timeball-a", plugin_id="hello"), "is installed already, from timeball-hello"),
        (other(tmp_path / "b", "timeball-b", plugin_id="dns"), "comes with the appliance"),
        (other(tmp_path / "c", "timeball-c", package="appliance_hello"), "which belongs to timeball-hello"),
    )):  # fmt: skip
        done = command(state, "install", source, "--no-index")
        assert (done.exit_code, says in done.output) == (1, True), (number, done.output)
    now = listed(state)
    assert [r["name"] for r in now["installed"]] == ["timeball-hello"]
    assert now["changed"] == []


def test_a_source_distribution_and_an_address_are_installed_too(tmp_path):
    folder = tmp_path / "p"
    other(folder, "timeball-other")
    build_it = "import setuptools.build_meta as b; b.build_sdist('dist')"
    subprocess.run([sys.executable, "-c", build_it], cwd=folder, check=True, capture_output=True)
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    for source in (str(sdist), folder.as_uri()):
        done = command(tmp_path / "s", "install", source, "--no-index")
        assert done.exit_code == 0, done.output
    assert [r["source"] for r in listed(tmp_path / "s")["installed"]] == [folder.as_uri()]


def test_going_back_says_to_what(tmp_path, wheel):
    assert command(tmp_path, "install", str(wheel), "--no-index").exit_code == 0
    assert command(tmp_path, "remove", "hello").exit_code == 0
    words = ["plugin", "rollback", "--state-dir", str(tmp_path)]
    assert "Back to timeball-hello 0.1.0." in CliRunner().invoke(build(), words).output
    assert "Back to no installed plugins." in CliRunner().invoke(build(), words).output
