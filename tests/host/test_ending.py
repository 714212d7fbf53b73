"""SIGTERM ends the process within five seconds with exit code 0, whatever a plugin does."""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.wait import wait_until

TIMEBALL = Path(sys.executable).with_name("timeball")

PLUGIN = """\
import asyncio, pathlib, threading, time
from appliance.api.plugin import PluginInfo, hookimpl
plugin = PluginInfo(id="hangs", title="Hangs", api=1)

@hookimpl
async def run(ctx):
    ctx.ready()
    pathlib.Path({mark!r}).touch()
    while True:
        try:
            {body}
        except asyncio.CancelledError:
            pass
"""

WAYS = {
    "swallows its cancellation": "await asyncio.sleep(100)",
    "sleeps in the event loop": "time.sleep(100)",
    "computes in the event loop": "while True: [n for n in range(1000)]",
    "hangs in a thread": "await ctx.to_thread(time.sleep, 100)",
    "hangs in a thread of its own": "threading.Thread(target=time.sleep, args=(100,)).start(); await asyncio.sleep(100)",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_plugin_that_hangs_does_not_hold_up_the_end(tmp_path, way):
    mark = tmp_path / "mark"
    (tmp_path / "plugins").mkdir()
    body = WAYS[way]
    (tmp_path / "plugins" / "hangs.py").write_text(PLUGIN.format(mark=str(mark), body=body))
    off = "".join(f"[plugins.{p}]\nenabled = false\n" for p in ("ntp", "dns", "web"))
    config = tmp_path / "c.toml"
    config.write_text(f'[appliance]\nplugin_dirs = ["{tmp_path / "plugins"}"]\n{off}')
    command = [TIMEBALL, "run", "--config", config, "--state-dir", tmp_path / "s"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(mark.exists, "the plugin to run", timeout_s=60)
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert time.monotonic() - begun < 6  # five promised, and one for a loaded machine
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
