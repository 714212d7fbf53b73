"""The real program: `timeball config` against a running appliance and against files, and a process that begins anew."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.support.programs import free_port
from tests.support.wait import wait_until

SLOW_S = 60.0


def timeball(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "appliance", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=110, **options,
    )  # fmt: skip


@pytest.fixture
def files(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    config = tmp_path / "config.toml"
    port = free_port()
    config.write_text(
        f'# Ours.\n[appliance]\nstate_dir = "{state}"\ndataplane = "python"\n'
        f'[plugins.ntp]\nlisten = ["127.0.0.1:{free_port()}"]\n'
        f'[plugins.dns]\nlisten = ["127.0.0.1:{port}"]  # DNS\n[plugins.web]\nlisten = "127.0.0.1:{free_port()}"\n'
        '[plugins.clock]\nsource = "local"\n'
    )
    return config


@contextmanager
def running_process(config):
    log = config.with_suffix(".log")
    with log.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "appliance", "run", "--config", str(config)], stdout=out, stderr=out
        )
    try:
        wait_until(
            lambda: all_run(config) or child.poll() is not None, "the appliance to run", timeout_s=SLOW_S
        )
        assert child.poll() is None, log.read_text()
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def all_run(config):
    done = timeball("plugin", "list", "--json", "--config", config)
    if done.returncode:
        return False
    states = {p["id"]: p["state"] for p in json.loads(done.stdout)}
    return states.pop("demo", "") == "disabled" and set(states.values()) <= {"running", "disabled", "stopped"}


def test_without_an_appliance_the_files_are_changed_and_can_be_changed_back(files):
    before = files.read_text()
    dry = timeball("config", "set", "dns.ttl=60", "--dry-run", "--config", files)
    assert (dry.returncode, files.read_text()) == (0, before)
    assert "+ttl = 60" in dry.stdout
    done = timeball("config", "set", "dns.ttl=60", "web.hosts=['a.example']", "--config", files)
    assert done.returncode == 0, done.stderr
    assert "counts from the next start" in done.stdout
    assert timeball("config", "get", "dns.ttl", "--config", files).stdout == "60\n"
    wrong = timeball("config", "set", "dns.ttl=0", "dns.zonee=x", "--config", files)
    assert wrong.returncode == 1
    assert "plugins.dns.ttl" in wrong.stderr
    assert 'did you mean "zone"' in wrong.stderr
    history = json.loads(timeball("config", "history", "--json", "--config", files).stdout)
    assert history[0]["keys"] == ["plugins.dns.ttl", "plugins.web.hosts"]
    assert "+ttl = 60" in timeball("config", "diff", "1", "--config", files).stdout
    assert timeball("config", "undo", "--config", files).returncode == 0
    assert files.read_text() == before


def test_undo_after_undo_goes_further_back_and_an_undo_can_be_undone(files):
    def config(*words):
        done = timeball("config", *words, "--config", files)
        assert done.returncode == 0, done.stderr
        return files.read_text()

    states = [files.read_text(), *(config("set", f"dns.ttl={ttl}") for ttl in (60, 70, 80))]
    assert config("undo") == states[2]
    assert config("undo") == states[1]
    # The second undo is change 5: without it the state before counts again, and is what the next undo takes back.
    assert config("undo", "5") == states[2]
    assert [config("undo"), config("undo")] == [states[1], states[0]]
    assert timeball("config", "undo", "--config", files).returncode == 5


def test_a_key_of_the_environment_is_locked_with_exit_code_6(files):
    done = timeball(
        "config",
        "set",
        "dns.ttl=60",
        "--config",
        files,
        env={**os.environ, "TIMEBALL_PLUGINS__DNS__TTL": "90"},
    )
    assert done.returncode == 6
    assert "TIMEBALL_PLUGINS__DNS__TTL" in done.stderr


def test_a_running_appliance_changes_itself_and_begins_anew_when_it_must(files):
    """Live, one plugin, and the whole process: same process number, and the change judged by the next start."""
    with running_process(files) as child:
        live = timeball("config", "set", "dns.ttl=60", "--no-wait", "--config", files)
        assert live.returncode == 0, live.stderr
        assert "takes effect at once" in live.stdout
        assert timeball("config", "get", "dns.ttl", "--config", files).stdout
        timeball("config", "keep", "1", "--config", files)
        whole = timeball("config", "set", "monitor.raw_days=20", "--no-wait", "--config", files)
        assert whole.returncode == 0, whole.stderr
        assert "the appliance starts again" in whole.stdout

        def judged():
            done = timeball("config", "history", "--json", "--config", files)
            return done.returncode == 0 and json.loads(done.stdout)[0]["state"] in ("kept", "reverted")

        def anew():
            done = timeball("config", "get", "monitor.raw_days", "--state-dir", files.parent / "state")
            return done.returncode == 0 and float(done.stdout) == 20

        wait_until(anew, "the process to have begun anew", timeout_s=SLOW_S)
        assert child.poll() is None
        wait_until(judged, "the change to be judged", timeout_s=SLOW_S)
        history = json.loads(timeball("config", "history", "--json", "--config", files).stdout)
        assert [e["state"] for e in history] == ["kept", "kept"]


def test_a_data_plane_that_is_not_there_is_taken_back_before_anything_runs(files):
    with running_process(files) as child:
        before = files.read_text()
        done = timeball("config", "set", "appliance.dataplane=xdp", "--config", files)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "was taken back" in done.stdout
        assert "xdp" in done.stdout
        assert files.read_text() == before
        assert child.poll() is None
