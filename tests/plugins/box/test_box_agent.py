"""The agent: who may ask, what it takes, and that whatever comes in it stays up, says why, and ends when it is idle."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from appliance.api.agent import Action, AgentRefusal, Arguments, Call, Ran
from appliance_box.agent import MOST_LINE_BYTES
from appliance_box.agent.client import Client, ask
from appliance_box.agent.doing import Doing
from appliance_box.agent.known import known_actions
from appliance_box.agent.server import Server
from tests.support.tree import ROOT
from tests.support.wait import wait_until


class Word(Arguments):
    word: str = Field(max_length=10)
    password: str = ""


def echo(call: Call, arguments: Word):
    call.progress({"done": 0.5})
    return {"said": arguments.word, "by": call.peer}


def refuse(call: Call, arguments: Arguments):
    raise AgentRefusal("no", "it is Sunday", "ask tomorrow")


def stumble(call: Call, arguments: Arguments):
    raise RuntimeError("oops")


ACTIONS = {
    action.name: action
    for action in (
        Action("try.echo", "says it", echo, Word, together=True, quiet=("password",)),
        Action("try.refuse", "says no", refuse),
        Action("try.stumble", "has a bug", stumble),
        Action("try.image", "images only", echo, Word, image_only=True),
    )
}


@contextmanager
def agent(folder: Path, *, users=None, idle_s=None, actions=ACTIONS, program=None):
    """A real agent on a real socket; gives the path."""
    path = folder / "agent.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(8)
    doing = Doing(actions, folder, program or (lambda *command, **_: Ran(0, "")))
    server = Server(listener, doing, {os.getuid()} if users is None else users, idle_s)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield path
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(60)
        assert not thread.is_alive()


def raw(path: Path, *lines: bytes) -> list[dict]:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(60)
        peer.connect(str(path))
        peer.sendall(b"".join(lines))
        peer.shutdown(socket.SHUT_WR)
        return [json.loads(line) for line in peer.makefile("rb")]


async def test_an_action_is_done_with_its_progress(tmp_path) -> None:
    heard = []
    with agent(tmp_path) as path:
        result = await Client(path).do("try.echo", {"word": "hello"}, progress=heard.append)
        assert ask(path, "try.echo", {"word": "again"})["said"] == "again"
    assert result["said"] == "hello"
    assert f"pid {os.getpid()}" in result["by"]
    assert heard == [{"done": 0.5}]


async def test_a_refusal_comes_with_its_reason_and_remedy(tmp_path) -> None:
    with agent(tmp_path) as path, pytest.raises(AgentRefusal) as refused:
        await Client(path).do("try.refuse")
    assert (refused.value.code, refused.value.message, refused.value.remedy) == (
        "no",
        "it is Sunday",
        "ask tomorrow",
    )


def test_a_bug_of_an_action_is_told_and_the_agent_goes_on(tmp_path) -> None:
    with agent(tmp_path) as path:
        with pytest.raises(AgentRefusal, match="oops"):
            ask(path, "try.stumble")
        assert ask(path, "try.echo", {"word": "alive"})["said"] == "alive"


def test_who_may_not_ask_is_told_so_and_nothing_is_done(tmp_path) -> None:
    with agent(tmp_path, users={os.getuid() + 1}) as path, pytest.raises(AgentRefusal, match="only root"):
        ask(path, "try.echo", {"word": "x"})


def test_what_only_an_image_can_do_is_refused_elsewhere(tmp_path) -> None:
    with agent(tmp_path) as path:
        with pytest.raises(AgentRefusal, match="not an image"):
            ask(path, "try.image", {"word": "x"})
        file = tmp_path / "usr/lib/timeball/image.toml"
        file.parent.mkdir(parents=True)
        file.write_text('id = "timeball-vm-amd64"\nversion = "1.2.3"\n')
        assert ask(path, "try.image", {"word": "x"})["said"] == "x"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"\n", "bad_request"),
        (b"hello\n", "bad_request"),
        (b"[1]\n", "bad_request"),
        (b'{"action": 7}\n', "bad_request"),
        (b'{"action": "try.echo", "extra": 1}\n', "bad_request"),
        (b'{"action": "rm -rf"}\n', "unknown_action"),
        (b'{"action": "try.echo", "args": {}}\n', "bad_arguments"),
        (b'{"action": "try.echo", "args": {"word": "x", "more": 1}}\n', "bad_arguments"),
        (b'{"action": "try.echo", "args": {"word": "' + b"x" * 99 + b'"}}\n', "bad_arguments"),
        (b"[" * 100_000 + b"\n", "bad_request"),
        (b"x" * (MOST_LINE_BYTES + 5) + b"\n", "bad_request"),
        (b'{"action": "try.echo"', "bad_request"),
        (b"\xff\xfe\n", "bad_request"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_kind(tmp_path, line, code) -> None:
    with agent(tmp_path) as path:
        assert raw(path, line)[-1]["error"]["code"] == code
        assert ask(path, "try.echo", {"word": "alive"})["said"] == "alive"


@given(st.binary(max_size=300))
def test_any_line_gets_one_answer_and_nothing_raises(line) -> None:
    answer = Doing(ACTIONS).answer(line, "tester", lambda values: None)
    assert set(answer) in ({"error"}, {"result"})


def test_a_connection_may_ask_several_times(tmp_path) -> None:
    line = b'{"action": "try.echo", "args": {"word": "x"}}\n'
    with agent(tmp_path) as path:
        assert len(raw(path, line, line, line)) == 6  # each with one line of progress


def test_secrets_among_the_arguments_stay_out_of_the_log(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO, "timeball.agent")
    with agent(tmp_path) as path:
        ask(path, "try.echo", {"word": "x", "password": "hunter2"})
        with pytest.raises(AgentRefusal):
            ask(path, "try.echo", {"word": "x" * 20, "password": "hunter2"})
    assert "try.echo" in caplog.text
    assert "hunter2" not in caplog.text


async def test_without_an_agent_it_is_said_how_to_get_one(tmp_path) -> None:
    for asking in (lambda: ask(tmp_path / "none", "x"), None):
        with pytest.raises(AgentRefusal) as refused:
            asking() if asking else await Client(tmp_path / "none").do("x")
        assert refused.value.code == "no_agent"
        assert "timeball-agent.socket" in refused.value.remedy


def test_an_agent_that_ends_half_way_is_no_result(tmp_path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def half() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(100)
                peer.sendall(b'{"progress": {}}\n{"resul')

        thread = threading.Thread(target=half)
        thread.start()
        with pytest.raises(AgentRefusal, match="ended before"):
            ask(path, "try.echo", {"word": "x"})
        thread.join(60)


def test_every_action_says_what_it_is_for_and_takes_a_closed_model() -> None:
    for name, action in known_actions().items():
        assert name == action.name
        assert name.count(".") == 1
        assert action.about
        assert action.arguments.model_config.get("extra") == "forbid"


def test_started_with_a_socket_it_answers_and_ends_when_nobody_comes(tmp_path) -> None:
    """As the service manager starts it: the listening socket is descriptor 3."""
    path = tmp_path / "agent.sock"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "LISTEN_FDS": "1"}
    begin = "import os,sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid());"
    begin += "os.execv(sys.executable, [sys.executable, '-m', 'appliance_box.agent', '--root', sys.argv[2], '--idle-s', '3'])"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(4)
        process = subprocess.Popen(
            [sys.executable, "-c", begin, str(listener.fileno()), str(tmp_path)],
            env=environment, pass_fds=(listener.fileno(),), stderr=subprocess.PIPE,
        )  # fmt: skip
    try:
        if os.getuid() == 0:
            assert "power.restart" in ask(path, "agent.about")["actions"]
        assert wait_until(lambda: process.poll() is not None, "the agent ends")
        assert process.returncode == 0
        assert path.exists(), "the socket is the service manager's"
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
