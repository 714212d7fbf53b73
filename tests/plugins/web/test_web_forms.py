"""A form shows what is set and gives back exactly that, for every plugin; what cannot be read is told beside its field."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.api.config import PluginConfig, setting
from appliance.core.config import ApplianceConfig
from appliance.host import loader
from appliance.settings.editor import plain_value
from appliance_web.forms.changes import changes
from appliance_web.forms.drawing import Drawing, error_path, summary
from appliance_web.forms.fields import fields
from appliance_web.forms.reading import COVERED, fill, read, rearranged, together
from tests.plugins.web import every_kind

MODELS = {"appliance": ApplianceConfig, "every": every_kind.Config} | {
    p.id: p.info.config for p in loader.discover().good() if p.info is not None and p.info.config is not None
}
EVERY = fields(every_kind.Config.model_json_schema())


def values_of(model, **given):
    return {k: COVERED if "Secret" in type(v).__name__ and v else plain_value(v) for k, v in model(**given)}


def test_every_kind_of_key_has_its_kind_of_field():
    kinds = {f.name: f.kind for f in EVERY}
    assert kinds == {
        "name": "text", "listen": "lines", "pilots": "number", "draught": "number", "open": "switch", "flag": "choice",
        "watch": "number", "depths": "lines", "services": "choices", "password": "secret", "token": "secret", "chart": "text",
        "signal": "table", "berth": "rows", "tariff": "json", "gate": "text", "spare": "number",
    }  # fmt: skip
    berth = next(f for f in EVERY if f.name == "berth")
    assert {f.name: f.kind for f in berth.inner} == {
        "name": "text", "depth": "number", "ships": "lines", "kinds": "choices", "lit": "switch", "key": "secret",
    }  # fmt: skip
    assert (berth.inner[0].required, berth.most) == (True, 20)


def test_titles_lose_their_unit_and_keep_their_capitals():
    found = {f.name: f.title for f in fields(MODELS["monitor"].model_json_schema())}
    assert found["interval_s"] == "Interval"
    assert {f.name: f.title for f in fields(MODELS["dns"].model_json_schema())}["ttl"] == "TTL"


def test_a_title_of_the_authors_own_stands_in_place_of_the_one_made_of_the_name():
    class Config(PluginConfig):
        raw_days: float = setting(15.0, title="Single probes kept", help="x", unit="days")
        keep_s: float = setting(15.0, help="x", unit="s")

    assert [f.title for f in fields(Config.model_json_schema())][-2:] == ["Single probes kept", "Keep"]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_form_that_nobody_touched_changes_nothing(name):
    """For the configuration of every plugin that is installed."""
    known = fields(MODELS[name].model_json_schema())
    values = {k: plain_value(v) for k, v in MODELS[name]()}
    form = fill(known, values)
    now, errors = read(known, form)
    assert errors == {}
    assert changes(known, values, now, form, {"keys": {}}) == {}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_key_of_every_plugin_stands_in_its_form_with_its_meaning(name):
    known = fields(MODELS[name].model_json_schema())
    assert [f.name for f in known] == list(MODELS[name].model_fields)
    assert all(f.help for f in known)


berths = st.fixed_dictionaries(
    {
        "name": st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20),
        "depth": st.floats(0, 100).map(lambda x: round(x, 3)),
        "ships": st.lists(st.sampled_from(["Gorch Fock", "Cap San Diego"]), max_size=2),
        "kinds": st.sampled_from([["sail"], ["steam"], ["sail", "steam"], []]),
        "lit": st.booleans(),
        "key": st.sampled_from(["", COVERED]),
    }
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(berths, max_size=4),
    st.lists(st.integers(-1000, 1000), max_size=4),
    st.none() | st.integers(1, 9),
)
def test_what_is_filled_in_is_read_back(rows, depths, watch):
    values = values_of(every_kind.Config) | {"berth": rows, "depths": depths, "watch": watch}
    form = fill(EVERY, values)
    now, errors = read(EVERY, _sent(form))
    assert errors == {}
    assert {k: now[k] for k in values} == values


def _sent(form):
    """A form as a browser sends it: a covered secret is an empty field and a hidden mark."""
    sent = {}
    for name, texts in form.items():
        if texts == [COVERED]:
            sent |= {name: [""], f"{name}.set": ["yes"]}
        elif texts:
            sent[name] = texts
    return sent


def test_a_row_says_in_the_file_only_what_somebody_said():
    values = values_of(every_kind.Config) | {
        "berth": [
            plain_value(every_kind.Berth(name="North")),
            plain_value(every_kind.Berth(name="South", depth=4.5)),
        ]
    }
    about = {"keys": {}, "written": {"berth": [{"name": "North"}, {"name": "South", "depth": 4.5}]}}
    form = fill(EVERY, values)
    form = rearranged(EVERY, form, "add:v.berth")
    form |= {
        "v.berth.2.name": ["West"],
        "v.berth.2.kinds": ["steam"],
        "v.berth.2.depth": ["4.5"],
        "v.berth.0.lit": ["yes"],
    }
    now, errors = read(EVERY, form)
    assert errors == {}
    assert changes(EVERY, values, now, form, about) == {
        "berth": [
            {"name": "North", "lit": True},
            {"name": "South", "depth": 4.5},
            {"name": "West", "kinds": ["steam"]},
        ]
    }


def test_rows_move_and_go_with_all_that_was_typed():
    form = fill(EVERY, {"berth": [{"name": n, "ships": [n * 2]} for n in "abc"]})
    up = read(EVERY, rearranged(EVERY, form, "up:v.berth:2"))[0]["berth"]
    assert [(b["name"], b["ships"]) for b in up] == [("a", ["aa"]), ("c", ["cc"]), ("b", ["bb"])]
    gone = read(EVERY, rearranged(EVERY, form, "remove:v.berth:0"))[0]["berth"]
    assert [b["name"] for b in gone] == ["b", "c"]


@pytest.mark.parametrize(
    "operation",
    [
        "",
        "x",
        "add:",
        "remove:v.berth:9",
        "up:v.berth:-1",
        "remove:v.berth:٣",
        "up::",
        "add:v.berth:" + "9" * 99,
    ],
)
def test_a_strange_button_changes_nothing_that_matters(operation):
    form = fill(EVERY, {"berth": [{"name": "a"}]})
    assert read(EVERY, rearranged(EVERY, form, operation))[0]["berth"][0]["name"] == "a"


def test_what_cannot_be_read_is_told_beside_its_field():
    form = fill(EVERY, values_of(every_kind.Config)) | {
        "v.pilots": ["four"], "v.draught": ["1,5"], "v.depths": ["3\nx"], "v.flag": ["pirate"], "v.tariff": ["{"],
        "v.watch": ["1e999"], "v.signal.period_s": ["nan"],
    }  # fmt: skip
    _, errors = read(EVERY, form)
    assert set(errors) == {"pilots", "draught", "depths", "flag", "tariff", "watch", "signal.period_s"}
    assert errors["depths"].startswith("line 2: expected a whole number")
    assert "blue peter" in errors["flag"]
    drawn = Drawing(form, errors, {}).draw(EVERY)
    assert [i for i, _, _ in summary(drawn)] == [
        "f-pilots", "f-draught", "f-flag", "f-watch", "f-depths", "f-signal-period_s", "f-tariff",
    ]  # fmt: skip


def test_a_problem_that_the_model_finds_is_drawn_where_it_belongs():
    form = fill(EVERY, {"berth": [{"name": "a"}, {"name": "b"}]})
    keys = {
        "plugins.every.berth[1].depth": "deep",
        "plugins.every.listen[0]": "taken",
        "plugins.every": "all of it",
        "plugins.every.berth[0]": "row",
    }
    errors = {error_path(key, "plugins.every"): text for key, text in keys.items()}
    drawing = Drawing(form, errors, {})
    found = {i: e for i, _, e in summary(drawing.draw(EVERY))}
    assert found == {"f-listen": "entry 1: taken", "f-berth-0": "row", "f-berth-1-depth": "deep"}
    assert drawing.rest() == {"plugins.every": "all of it"}


def test_a_list_that_is_too_long_for_rows_stands_apart_and_loses_nothing():
    values = values_of(every_kind.Config) | {"berth": [{"name": f"b{i}"} for i in range(150)]}
    form = fill(EVERY, values)
    assert not [name for name in form if name.startswith("v.berth")]
    held = together(EVERY, values)
    assert "berth" not in held
    now, errors = read(EVERY, form)
    assert errors == {}
    assert changes(EVERY, held, now, form, {"keys": {}}) == {}
    [berth] = [
        d for d in Drawing(form, {"berth.3.depth": "deep"}, {}, values).draw(EVERY) if d.field.name == "berth"
    ]
    assert (berth.kind, berth.apart, berth.error) == ("apart", 150, "3.depth: deep")


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([
    "v.pilots", "v.berth.rows", "v.berth.0.depth", "v.watch", "v.tariff", "v.depths", "v.services", "v.password", "v.password.clear", "v.flag",
]), st.lists(st.text(max_size=30), max_size=3)))  # fmt: skip
def test_any_form_at_all_is_values_or_errors(form):
    values, errors = read(EVERY, form)
    assert set(values) | {e.partition(".")[0] for e in errors} <= {f.name for f in EVERY}
    Drawing(form, errors, {}).draw(EVERY)


def test_schemas_of_strangers_make_some_field_of_everything():
    """References, unions, tuples, nonsense: whatever is not known is JSON, and nothing raises."""
    strange = {
        "properties": {
            "a": {"anyOf": [{"type": "string"}, {"type": "integer"}]}, "b": {"type": "array", "prefixItems": [{"type": "string"}]},
            "c": {"$ref": "#/$defs/Nowhere"}, "d": {}, "e": {"type": "object", "additionalProperties": {"type": "string"}},
            "f": {"allOf": [{"$ref": "#/$defs/Loop"}]}, "g": {"const": 3}, "h": {"type": "array", "items": {"type": "array"}},
            "i": {"enum": [{"x": 1}]}, "j": {"type": "null"},
        },
        "$defs": {"Loop": {"type": "object", "properties": {"again": {"$ref": "#/$defs/Loop"}}}},
    }  # fmt: skip
    found = {f.name: f.kind for f in fields(strange)}
    assert found["f"] == "table"
    assert found["g"] == "choice"
    assert {found[k] for k in "abcdehij"} == {"json"}
