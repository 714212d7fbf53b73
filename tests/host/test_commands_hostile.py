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
