"""Whatever is accepted is what the file says afterwards, for every key of every plugin; and no comment is lost on the way."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.api.errors import Conflict, Invalid
from appliance.core.config import look_up, merge
from appliance.core.config_check import inner_model
from appliance.core.toml_positions import outline
from appliance.host import loader
from appliance.settings.document import UNSET
from appliance.settings.editor import Editor, plain_value
from appliance.settings.sources import Sources

SHIPPED = Path(__file__).resolve().parents[2] / "packaging" / "timeball.toml"
MODELS = {
    p.id: p.info.config for p in loader.discover().good() if p.info is not None and p.info.config is not None
}

words = st.sampled_from(
    [
        "",
        "a",
        "ns1",
        "pool.example.net",
        "hostmaster",
        'quo"te',
        "tab\there",
        "new\nline",
        "Zürich",
        "# no comment",
    ]
)
addresses = st.sampled_from(
    ["127.0.0.1:1", "[::1]:9953", "192.0.2.7", "2001:db8::/32", "10.0.0.0/8", "time.example.org", "@"]
)


def value(schema, defs, depth=0):
    """Values that may be right for a schema: often within bounds, sometimes not."""
    if "$ref" in schema:
        schema = {**defs[schema["$ref"].rpartition("/")[2]], **schema}
    if "anyOf" in schema:
        return st.one_of(*(value(s, defs, depth) for s in schema["anyOf"] if s.get("type") != "null"))
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    kind = schema.get("type")
    if kind == "boolean":
        return st.booleans()
    if kind in ("integer", "number"):
        low, high = schema.get("minimum", schema.get("exclusiveMinimum", 0)), schema.get("maximum", 10_000)
        whole = st.integers(int(low), max(int(low), int(high)))
        return (
            whole if kind == "integer" else st.one_of(whole, st.floats(low, max(low, high), allow_nan=False))
        )
    if kind == "array":
        return st.lists(value(schema.get("items", {}), defs, depth + 1), max_size=3)
    if kind == "object" and depth < 4:
        entries = {k: value(s, defs, depth + 1) for k, s in schema.get("properties", {}).items()}
        required = {k: v for k, v in entries.items() if k in schema.get("required", ())}
        return st.fixed_dictionaries(
            required, optional={k: v for k, v in entries.items() if k not in required}
        )
    return st.one_of(words, addresses)


@st.composite
def changes(draw):
    """Some keys of some plugins, set or taken back."""
    found = {}
    for plugin in draw(st.lists(st.sampled_from(sorted(MODELS)), min_size=1, max_size=2, unique=True)):
        schema = MODELS[plugin].model_json_schema()
        names = sorted(schema.get("properties", {}))
        for name in (
            draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True)) if names else ()
        ):
            field = MODELS[plugin].model_fields[name]
            path = ("plugins", plugin, name)
            if inner_model(field.annotation) is field.annotation and draw(st.booleans()):
                inner = sorted(field.annotation.model_fields)
                path = (*path, draw(st.sampled_from(inner)))
                entries = value(schema["properties"][name], schema.get("$defs", {}))
                found[path] = draw(entries.map(lambda table, key=path[-1]: table.get(key, UNSET)))
            else:
                made = value(schema["properties"][name], schema.get("$defs", {}))
                found[path] = draw(st.one_of(made, made, st.just(UNSET)))
    return list(found.items())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("config")
    (folder / "state").mkdir()
    file = folder / "config.toml"
    text = SHIPPED.read_text(encoding="utf-8")
    lines = [line.replace("/var/lib/timeball", str(folder / "state")) for line in text.splitlines()]
    # A remark on every line that can bear one: none of them may be lost, wherever a change strikes.
    file.write_text(
        "".join(
            f"{line}  # remark {i}\n" if line and "#" not in line else f"{line}\n"
            for i, line in enumerate(lines)
        )
    )
    return file


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes())
def test_what_is_accepted_is_what_the_file_says(place, wanted):
    before = place.read_text(encoding="utf-8")
    editor = Editor(Sources(place), MODELS)
    try:
        plan = editor.plan(wanted)
    except (Invalid, Conflict) as refused:
        assert str(refused)
        assert place.read_text(encoding="utf-8") == before
        return
    try:
        editor.commit(plan)
        config, _ = editor.read()
        assert config.plugins == plan.config.plugins
        values = merge(config.layers)
        for path, asked in wanted:
            found = look_up(values, path)
            if (
                asked is not UNSET
                and asked != {}
                and not any(p[: len(path)] == path and p != path for p, _ in wanted)
            ):
                assert plain_value(found) == plain_value(asked), path
        after = place.read_text(encoding="utf-8")
        assert _comments(before) == _comments(after)
        undone = editor.restore(plan.files)
        editor.commit(undone)
        assert place.read_text(encoding="utf-8") == before
    finally:
        place.write_text(before, encoding="utf-8")


def _comments(text):
    return sorted(text[a:b] for a, b in outline(text).comments)
