"""Every problem of a configuration is told at once, with file, line, key, what was expected and the nearest key."""

import string
import tomllib

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.config import PluginConfig, setting
from appliance.core.config import (
    BadConfig,
    Layer,
    environment_layer,
    look_up,
    override_layer,
    read_file,
    read_text,
)
from appliance.core.config_check import validate
from appliance.core.toml_positions import locate, positions


class Entry(PluginConfig):
    address: str = setting(help="Where it is.")
    port: int = setting(123, help="Its port.", ge=1, le=65535)


class Dns(PluginConfig):
    zone: str = setting("pool.example.org", help="The zone.")
    ttl: int = setting(150, help="Time to live.", ge=30, unit="s", live=True)
    entry: list[Entry] = setting(default_factory=list, help="Entries.")


MODELS = {"dns": Dns, "plain": None}

WRONG = """\
[appliance]
state_dirr = "/tmp"

[plugins.dns]
ttl = "soon"
zon = "x"

[[plugins.dns.entry]]
address = "192.0.2.1"

[[plugins.dns.entry]]
adress = "192.0.2.2"
port = 70000

[plugins.plain]
anything = 1

[plugins.dnss]
"""


def problems_of(text: str) -> dict:
    with pytest.raises(BadConfig) as caught:
        validate([read_text(text, "pool.toml")], MODELS)
    return {p.key: p for p in caught.value.problems}


def test_all_problems_are_found_at_once_with_their_place():
    found = problems_of(WRONG)
    assert {key: p.position[0] for key, p in found.items()} == {
        "appliance.state_dirr": 2,
        "plugins.dns.ttl": 5,
        "plugins.dns.zon": 6,
        "plugins.dns.entry[1].adress": 12,
        "plugins.dns.entry[1].address": 11,
        "plugins.dns.entry[1].port": 13,
        "plugins.plain.anything": 16,
        "plugins.dnss": 18,
    }
    assert found["appliance.state_dirr"].nearest == "state_dir"
    assert found["plugins.dns.zon"].nearest == "zone"
    assert found["plugins.dns.entry[1].adress"].nearest == "address"
    assert found["plugins.dnss"].nearest == "dns"
    assert "must be set" in found["plugins.dns.entry[1].address"].message
    assert "expected" in found["plugins.dns.ttl"].message and "'soon'" in found["plugins.dns.ttl"].message
    assert found["plugins.dns.ttl"].line_text == 'ttl = "soon"'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = ", 1),
        ("[x\n", 1),
        ("a = 1\nb = = 2\n", 2),
        ("x = 1\nx = 2\n", 2),
        ('a = "open\n', 1),
        ("a = [1,\n", 2),
    ],
)
def test_a_syntax_error_names_its_line(text, line):
    with pytest.raises(BadConfig) as caught:
        read_text(text, "pool.toml")
    (problem,) = caught.value.problems
    assert problem.position is not None
    assert problem.position[0] in (line, line + 1)
    assert "not valid TOML" in problem.message


def test_a_missing_or_unreadable_file_is_one_problem(tmp_path):
    for path in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(BadConfig, match="cannot be read"):
            read_file(path)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadConfig, match="cannot be read"):
        read_file(binary)


def test_later_layers_win_and_the_sources_are_known():
    layers = [
        read_text('[plugins.dns]\nttl = 60\nzone = "a.example"\n', "file"),
        environment_layer({"TIMEBALL_PLUGINS__DNS__TTL": "90", "TIMEBALL_STATE_DIR": "/x", "HOME": "/"}),
        override_layer(["plugins.dns.ttl=120", "plugins.dns.zone=bare-word.example"]),
    ]
    config = validate(layers, MODELS)
    assert config.plugins["dns"].ttl == 120
    assert config.plugins["dns"].zone == "bare-word.example"
    assert [(name, value) for name, value, _ in config.sources(("plugins", "dns", "ttl"))] == [
        ("file", 60), ("environment", 90), ("--set", 120),
    ]  # fmt: skip


def test_a_wrong_override_names_the_layer_it_came_from():
    with pytest.raises(BadConfig) as caught:
        validate([read_text("", "file"), override_layer(["plugins.dns.ttl=1"])], MODELS)
    assert caught.value.problems[0].layer == "--set"
    with pytest.raises(BadConfig, match="KEY=VALUE"):
        override_layer(["nonsense"])


def test_enabled_is_a_switch_of_every_plugin():
    config = validate(
        [read_text("[plugins.dns]\nenabled = false\n[plugins.plain]\nenabled = true\n", "f")], MODELS
    )
    assert config.enabled == {"dns": False, "plain": True}
    assert "plugins.dns.enabled" in problems_of('[plugins.dns]\nenabled = "no"\n')


@pytest.mark.parametrize(
    "text", ["plugins = 3\n", "[plugins]\ndns = 3\n", "appliance = 1\n", "[[plugins.dns]]\n"]
)
def test_a_value_where_a_table_belongs_is_told_not_a_crash(text):
    assert problems_of(text)


def test_the_tables_of_a_plugin_that_could_not_be_loaded_are_left_alone():
    validate([read_text("[plugins.broken]\nx = 1\n", "f")], MODELS, unchecked=["broken"])


scalars = st.one_of(
    st.integers(-(2**31), 2**31),
    st.booleans(),
    st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])),
)
keys = st.text(string.ascii_letters + string.digits + "-_ .\"'#[]=", min_size=1, max_size=6)
documents = st.dictionaries(
    keys,
    st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(keys, inner, min_size=1, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=5,
)


@given(documents)
def test_every_top_level_key_of_any_document_is_located_on_a_line_that_holds_it(values):
    """tomlkit writes, tomllib reads, and the scanner finds each key that has a line of its own."""
    text = tomlkit.dumps(values)
    values = tomllib.loads(text)
    found = positions(text)
    lines = text.split("\n")
    for key, value in values.items():
        bare = key and all(c in string.ascii_letters + string.digits + "-_" for c in key)
        if bare and not isinstance(value, dict):
            place = locate(found, (key,))
            assert place is not None
            assert lines[place[0] - 1].lstrip(" [").startswith(key)


@given(st.text(alphabet="ab=.[]{}\"'#\n 1\\,", max_size=40))
def test_the_scanner_survives_every_valid_document(text):
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = positions(text)
    for path in found:
        if all('"' not in str(part) and "'" not in str(part) and "\\" not in str(part) for part in path):
            assert look_up(values, path) is not None


def test_arrays_of_tables_nest():
    text = "[[a]]\nx = 1\n[[a.b]]\ny = 1\n[[a.b]]\ny = 2\n[[a]]\n[[a.b]]\ny = 3\n[a.c]\nz = 1\n"
    found = positions(text)
    assert found["a", 0, "b", 1, "y"] == (6, 1)
    assert found["a", 1, "b", 0, "y"] == (9, 1)
    assert found["a", 1, "c", "z"] == (11, 1)


def test_layers_without_text_have_no_line():
    with pytest.raises(BadConfig) as caught:
        validate([Layer("test", {"plugins": {"dns": {"ttl": "x"}}})], MODELS)
    assert caught.value.problems[0].position is None
