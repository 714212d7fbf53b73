"""What comes before the event loop: a request to reload ends nothing and is not forgotten; Ctrl-C ends it without a traceback."""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.wait import wait_until

TIMEBALL = Path(sys.executable).with_name("timeball")

PLUGIN = """\
import os, signal
from appliance.api.plugin import PluginInfo, hookimpl
plugin = PluginInfo(id="signals", title="Signals", api=1)
os.kill(os.getpid(), signal.{number})

@hookimpl
async def run(ctx):
    ctx.ready()
    {later}
"""


@contextlib.contextmanager
def started(folder, **plugin):
    (folder / "plugins").mkdir()
    (folder / "plugins" / "signals.py").write_text(PLUGIN.format(**{"later": "pass", **plugin}))
    off = "".join(f"[plugins.{p}]\nenabled = false\n" for p in ("ntp", "dns", "web"))
    config = folder / "c.toml"
    config.write_text(f'{off}[appliance]\nplugin_dirs = ["{folder / "plugins"}"]\n')
    command = [TIMEBALL, "run", "--config", config, "--state-dir", folder / "s", "--log-format", "text"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def test_a_request_to_reload_before_the_event_loop_ends_nothing_and_one_during_the_start_is_served(tmp_path):
    later = f"""with open({str(tmp_path / "c.toml")!r}, "a") as file: file.write('log_level = "debug"\\n')
    os.kill(os.getpid(), signal.SIGHUP)"""
    with started(tmp_path, number="SIGHUP", later=later) as process:
        log = tmp_path / "log"
        wait_until(
            lambda: "reload: appliance.log_level changed" in log.read_text() or process.poll() is not None,
            "the reload",
            timeout_s=60,
        )
        assert process.poll() is None, log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_ctrl_c_during_the_start_ends_it_without_a_traceback(tmp_path):
    with started(tmp_path, number="SIGINT") as process:
        assert process.wait(60) == -signal.SIGINT
        assert "Traceback" not in (tmp_path / "log").read_text()
