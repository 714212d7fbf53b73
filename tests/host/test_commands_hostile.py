"""Commands given nonsense answer with a sentence and an exit code, never with a traceback."""

import pytest
from click.testing import CliRunner

from appliance.cli import build
from appliance.testing import running


def invoke(*words):
    done = CliRunner().invoke(build(), list(words))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


@pytest.mark.parametrize("command", ["new", "test", "install", "remove"])
@pytest.mark.parametrize("word", ["\x1b[2J", "../..", "a" * 300, "\udcff", "-", ""])
def test_plugin_commands_given_nonsense_write_nothing_and_say_so_plainly(
    command, word, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    done = invoke("plugin", command, "--state-dir", str(tmp_path / "s"), "--", word)
    assert done.exit_code in (1, 2)
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("host", ["bad..host", "a" * 70, "\x1b[2J", "..", "[::1", "127.0.0.1:0x7b"])
def test_probe_of_what_is_no_address_is_refused_in_one_line(host, tmp_path):
    done = invoke("probe", host, "--state-dir", str(tmp_path))
    assert done.exit_code in (1, 2)
    assert "\x1b" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("path", ["x y", "/api/v1/members\r\nX: y", "/\udced"])
def test_a_path_that_cannot_be_one_is_the_callers_mistake(path, tmp_path):
    assert invoke("api", path, "--state-dir", str(tmp_path)).exit_code == 2


async def test_a_wrong_method_is_told_what_is_allowed(tmp_path):
    async with running([], state_dir=tmp_path) as app:
        for method in ("TRACE", "DELETE"):
            reply = await app.ask(method, "/api/v1/health")
            assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")
        reply = await app.ask("OPTIONS", "/api/v1/health")
        assert (reply.status, reply.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")


async def test_the_openapi_document_names_what_is_not_json(tmp_path):
    async with running(["members", "metrics", "monitor", "clock"], state_dir=tmp_path) as app:
        await app.until_running()
        document = await app.get("/api/v1/openapi.json")
        for path, kinds in {"/api/v1/log.csv": ["text/csv"], "/metrics": ["text/plain"]}.items():
            assert list(document["paths"][path]["get"]["responses"]["200"]["content"]) == kinds
            reply = await app.ask("GET", path)
            assert reply.content_type.split(";")[0] in kinds


def test_a_path_without_its_slash_is_told_before_anything_is_sent(tmp_path):
    done = invoke("api", "members", "--state-dir", str(tmp_path))
    assert done.exit_code == 2
    assert "as in /api/v1/members" in done.stderr


def test_what_a_broken_plugin_says_of_itself_moves_no_cursor_and_forges_no_line(
    tmp_path, monkeypatch, capsys
):
    """Whoever looks whether a stranger's plugin can be used sees its words before anybody trusted it."""
    evil = "\x1b]0;x\x07\x9b2J\u202e\nall good"
    plugins = tmp_path / "s" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "loud.py").write_text(f"raise RuntimeError({evil!r})\n", encoding="utf-8")
    (plugins / "shrill.py").write_text(
        "from appliance import PluginInfo, hookimpl\nplugin = PluginInfo(id='shrill', title='s', api=1)\n"
        f"@hookimpl\ndef commands(cli):\n    raise RuntimeError({evil!r})\n",
        encoding="utf-8",
    )
    config = tmp_path / "c.toml"
    config.write_text(f'[appliance]\nplugin_dirs = ["{plugins}"]\n', encoding="utf-8")
    monkeypatch.setenv("TIMEBALL_STATE_DIR", str(tmp_path / "s"))
    # CliRunner would take colours, and with them escapes, out of what no terminal sees.
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *_: False)
    done = invoke("check", "--config", str(config))
    # The tree of commands is made before any of them runs: what it says of `shrill` goes to the test's own stream.
    said = [*capsys.readouterr().err.splitlines(), *done.output.splitlines()]
    assert [line for line in said if "loud" in line]
    assert [line for line in said if "the commands of the plugin shrill" in line]
    assert said.count("    all good") == 2, said
    assert not [line for line in said if line.startswith("all good") or set(line) & set("\x1b\x07\x9b\u202e")]
