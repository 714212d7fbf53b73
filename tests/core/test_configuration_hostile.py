"""A configuration file of any kind of wrongness is told with its place, never with a traceback and never guessed at."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.api.config import PluginConfig, setting
from appliance.cli import build
from appliance.core.config import BadConfig, environment_layer, override_layer, read_file, read_text
from appliance.core.config_check import validate


class Kinds(PluginConfig):
    count: int = setting(1, help="A whole number.")
    share: float = setting(1.0, help="A number.")
    switch: bool = setting(default=False, help="Yes or no.")
    maybe: int | None = setting(None, help="A number or nothing.")
    word: str = setting("", help="Text.")
    words: tuple[str, ...] = setting((), help="A list.")


def problems_of(*texts: str) -> dict:
    with pytest.raises(BadConfig) as caught:
        validate([read_text(text, f"{i}.toml") for i, text in enumerate(texts)], {"k": Kinds})
    return {p.key: p for p in caught.value.problems}


@pytest.mark.parametrize(
    "line",
    [
        "count = true",
        'count = "4"',
        "share = false",
        'share = "0.5"',
        "switch = 1",
        'switch = "yes"',
        'maybe = "3"',
        "maybe = true",
        "word = 5",
        'words = "one"',
        "words = [1]",
        "count = 1979-05-27",
    ],
)
def test_a_value_of_another_type_is_not_guessed_at(line):
    (problem,) = problems_of(f"[plugins.k]\n{line}\n").values()
    assert problem.position == (2, 1)
    assert problem.message.startswith("expected a") or problem.message.startswith("expected true")
    assert "tuple" not in problem.message


def test_right_values_are_taken_and_a_query_string_may_hold_numbers_as_text():
    config = validate(
        [read_text("[plugins.k]\ncount = 4\nshare = 1\nswitch = true\nmaybe = 2\nwords = ['a']\n", "f")],
        {"k": Kinds},
    )
    assert config.plugins["k"].share == 1.0
    assert Kinds.model_validate({"count": "4"}).count == 4


@pytest.mark.parametrize(
    "text", ["x = " + "9" * 5000, "x = " + "[" * 3000 + "]" * 3000, ".".join("a" * 4000) + " = 1"]
)
def test_a_document_made_to_break_the_reader_is_one_problem(text):
    with pytest.raises(BadConfig) as caught:
        read_text(f"y = 1\n{text}\n", "f.toml")
    assert len(caught.value.problems) == 1


def test_a_byte_order_mark_is_no_problem_and_other_encodings_name_the_line(tmp_path):
    path = tmp_path / "f.toml"
    path.write_bytes(b"\xef\xbb\xbf[plugins.k]\r\ncount = 0\r\n")
    assert read_file(path).values == {"plugins": {"k": {"count": 0}}}
    path.write_bytes(b'[plugins.k]\nword = "caf\xe9"\n')
    with pytest.raises(BadConfig, match="UTF-8") as caught:
        read_file(path)
    assert caught.value.problems[0].position == (2, 12)


def test_escapes_in_quoted_keys_and_tabs_in_lines_are_shown_as_they_are():
    (problem,) = problems_of('[plugins.k]\n"c\\u006funtt"\t=\t3\n').values()
    assert (problem.key, problem.position, problem.nearest) == ("plugins.k.countt", (2, 1), "count")
    assert "\t" not in str(problem)


def test_a_value_that_a_stronger_layer_covers_up_with_a_table_is_told():
    found = problems_of("appliance = 1\n", '[appliance]\nstate_dir = "x"\n')
    assert found["appliance"].layer == "0.toml"


@pytest.mark.parametrize("name", ["", " ", "a\\u0000b"])
def test_a_state_dir_that_is_no_path_is_told(name):
    assert "appliance.state_dir" in problems_of(f'[appliance]\nstate_dir = "{name}"\n')


def test_a_state_dir_of_another_type_is_told_without_names_of_our_classes():
    problem = problems_of("[appliance]\nstate_dir = 1\n")["appliance.state_dir"]
    assert "expected a path in quotes, got 1" in str(problem)


@pytest.mark.parametrize(
    "assignments",
    [
        ("plugins.k=5", "plugins.k.count=5"),
        ("plugins.k.count=5", "plugins.k=5"),
        ("=5",),
        ("plugins..x=5",),
        ("a.b.c=1", "a.b=2", "a=3"),
    ],
)
def test_overrides_that_contradict_each_other_are_told(assignments):
    with pytest.raises(BadConfig):
        override_layer(assignments)
    with pytest.raises(BadConfig):
        environment_layer(
            {"TIMEBALL_" + (k.upper().replace(".", "__") if k.startswith("plugins") else "PLUGINS__"): v
             for k, _, v in (a.partition("=") for a in assignments)}
        )  # fmt: skip


def test_every_assignment_without_a_value_is_told_at_once():
    with pytest.raises(BadConfig) as caught:
        override_layer(["one", "two", "plugins.k.count=1"])
    assert len(caught.value.problems) == 2


EVERY_LIST = """\
[plugins.ntp]
listen = ["localhost:123", "127.0.0.1"]
allow = ["10.0.0.1/8", "10.0.0.0/33", 5]
deny = ["x", "::/129"]
[plugins.dns]
zone = "bad name.example"
listen = ["127.0.0.1:99999", "[::1]"]
fallback = ["x", "y"]
[plugins.web]
listen = ["8080", "z"]
[plugins.monitor]
references = ["a b", "x:y:z"]
[[plugins.members.member]]
address = "192.0.2.1"
zones = ["-bad-", "a..b"]
"""


def test_every_wrong_entry_of_every_list_is_told_at_once_and_run_says_what_check_says(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(EVERY_LIST)
    checked = CliRunner().invoke(build(), ["check", "--config", str(path), "--json"])
    assert checked.exit_code == 78
    keys = [p["key"].removeprefix("plugins.") for p in json.loads(checked.stdout)["problems"]]
    assert sorted(keys) == sorted(
        [f"ntp.{k}" for k in ("listen[0]", "listen[1]", "allow[0]", "allow[1]", "allow[2]", "deny[0]", "deny[1]")]
        + [f"dns.{k}" for k in ("zone", "listen[0]", "listen[1]", "fallback[0]", "fallback[1]")]
        + [f"web.listen[{i}]" for i in (0, 1)] + [f"monitor.references[{i}]" for i in (0, 1)]
        + [f"members.member[0].zones[{i}]" for i in (0, 1)]
    )  # fmt: skip
    said = CliRunner().invoke(build(), ["check", "--config", str(path)])
    timeball = Path(sys.executable).with_name("timeball")
    ran = subprocess.run(
        [timeball, "run", "--config", path, "--state-dir", tmp_path / "state"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 78
    assert ran.stderr == said.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("text", ["a" * 70_000, "\x1b[2J", "two\nlines"])
def test_a_txt_record_that_cannot_be_sent_or_shown_is_told(text):
    from appliance_dns.config import DnsConfig

    with pytest.raises(BadConfig) as caught:
        validate([read_text(f"[plugins.dns]\ntxt = [{json.dumps(text)}]\n", "f")], {"dns": DnsConfig})
    assert [p.key for p in caught.value.problems] == ["plugins.dns.txt[0]"]


def test_commands_ask_the_appliance_that_the_same_layers_would_start(tmp_path, monkeypatch):
    path = tmp_path / "c.toml"
    path.write_text('[appliance]\nstate_dir = "from-file"\n')
    (tmp_path / "conf.d").mkdir()

    def asked() -> str:
        return CliRunner().invoke(build(), ["member", "list", "--config", str(path)]).stderr

    assert "from-file/admin.sock" in asked()
    (tmp_path / "conf.d" / "a.toml").write_text('[appliance]\nstate_dir = "from-conf-d"\n')
    assert "from-conf-d/admin.sock" in asked()
    monkeypatch.setenv("TIMEBALL_APPLIANCE__STATE_DIR", "from-environment")
    assert "from-environment/admin.sock" in asked()


@pytest.mark.parametrize("text", ["appliance = 1\n", "[appliance]\nstate_dir = 5\n", "[appliance\n"])
def test_commands_survive_a_wrong_file(tmp_path, text):
    path = tmp_path / "c.toml"
    path.write_text(text)
    done = CliRunner().invoke(build(), ["member", "list", "--config", str(path)])
    assert done.exit_code in (3, 78)


def test_problems_of_all_sources_are_told_at_once(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("x = = 1\n")
    done = CliRunner().invoke(build(), ["check", "--config", str(path), "--set", "nonsense", "--json"])
    assert {p["file"] for p in json.loads(done.stdout)["problems"]} == {str(path), "--set"}


def test_keys_of_inner_tables_are_explained_and_a_table_names_its_keys(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("[plugins.dns.soa]\nttl = 60\n")

    def explained(key: str):
        return CliRunner().invoke(build(), ["config", "explain", key, "--config", str(path), "--json"])

    found = json.loads(explained("plugins.dns.soa.ttl").stdout)
    assert (found["value"], found["decided_by"], found["layers"][0]["line"]) == (60, str(path), 2)
    assert json.loads(explained("dns.soa.ttl").stdout) == found
    assert explained("plugins.dns").exit_code == 5
    assert "plugins.dns.soa.ttl" in explained("plugins.dns").stderr
    assert "dns.ttl" in explained("dns.ttll").stderr
    assert explained("").exit_code == 5
