"""The graded checklist: a level is reached when nothing of it or below it is open; whatever is written, it is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.host import checklists, loader
from appliance.kit import measure, quality
from appliance.testing import running

DONE = {level: "\n".join(f'{rule} = "done"' for rule in rules) for level, rules in quality.RULES.items()}


def text(**levels):
    return "\n".join(f"[{level}]\n{rules}" for level, rules in levels.items())


def test_levels_are_reached_one_after_the_other():
    assert quality.read("").level == ""
    assert quality.read(text(bronze=DONE["bronze"])).level == "bronze"
    assert quality.read(text(silver=DONE["silver"])).level == "", "bronze is open"
    assert quality.read(text(**DONE)).level == "gold"


def test_an_exemption_needs_a_reason():
    rules = DONE["bronze"].replace('tests = "done"', 'tests = { exempt = "it has no code" }')
    assert quality.read(text(bronze=rules)).exempt == (("tests", "it has no code"),)
    assert quality.read(text(bronze=rules.replace("it has no code", " "))).level == ""


@pytest.mark.parametrize(
    ("written", "says"), [("[", "not TOML"), ("[iron]", "no level"), ('[bronze]\nx = "done"', "no rule bronze.x"),
                          ("[bronze]\ntests = 1", "not 1")]
)  # fmt: skip
def test_a_mistake_in_the_checklist_is_told(written, says):
    found = quality.read(written)
    assert says in found.faults[0]
    assert found.level == ""


@given(st.text(max_size=200))
def test_whatever_is_written_is_read(written):
    assert quality.read(written).level in ("", *quality.LEVELS)


# -- looked at ----------------------------------------------------------------------------------------------------------


def test_what_is_seen_to_hold_needs_no_word_and_what_does_not_is_no_level():
    claimed = quality.read(text(**DONE))
    found = quality.judged(claimed, {"health-check": "it has none", "readme": ""})
    assert (found.level, found.todo, dict(found.refuted)) == (
        "bronze",
        ("health-check",),
        {"health-check": "it has none"},
    )
    assert found.missing() == {"health-check": "it has none"}
    everything = dict.fromkeys((rule for rules in quality.RULES.values() for rule in rules), "")
    assert quality.judged(None, everything).level == quality.LEVELS[-1]


def test_an_exemption_stands_beside_what_was_seen_and_is_not_needed_where_all_is_well():
    rules = DONE["silver"].replace('health-check = "done"', 'health-check = { exempt = "all is asked for" }')
    claimed = quality.read(text(bronze=DONE["bronze"], silver=rules))
    assert quality.judged(claimed, {"health-check": "it has none"}).level == "silver"
    assert quality.judged(claimed, {"health-check": ""}).exempt == ()


def test_what_is_open_says_what_was_seen_or_what_the_rule_asks():
    found = quality.judged(quality.read(""), {"config-documented": "the key x has no help", "contract": ""})
    missing = found.missing()
    assert missing["config-documented"] == "the key x has no help"
    assert missing["tests"] == quality.RULES["bronze"]["tests"]
    assert "contract" not in missing


@given(st.text(max_size=200))
def test_whatever_a_source_holds_it_is_looked_through(source):
    assert isinstance(measure.untyped((("x.py", source),)), str)


@pytest.mark.parametrize(
    ("source", "says"),
    [("def f(x: int) -> int: ...", ""), ("def f(x) -> int: ...", "x is"), ("def f(): ...", "it returns"),
     ("class A:\n  def __init__(self, x: int): ...", ""), ("async def f(*a) -> None: ...", "a is"), ("def f(", "parsed")],
)  # fmt: skip
def test_a_function_that_does_not_say_what_it_takes_or_gives_is_found(source, says):
    found = measure.untyped((("x.py", source),))
    assert says in found
    assert bool(found) == bool(says)


FAULTY = {
    "config-documented": "class Config(PluginConfig):\n    x: int = 1",
    "health-check": "",
    "no-public-change": 'async def f(request): ...\n@hookimpl\ndef routes(ctx):\n    return [Route("POST", "x", f, "public")]',
    "schemas": 'async def f(request): ...\n@hookimpl\ndef routes(ctx):\n    return [Route("GET", "x", f, "read")]',
    "retention": "@hookimpl\ndef migrations(ctx):\n"
    '    return [Migration("t", lambda db: db.execute("CREATE TABLE faulty__t (ts REAL)"))]',
    "says-what-it-does": "@hookimpl\nasync def run(ctx):\n    ctx.ready()",
    "typed": "def f(x): ...",
    "readme": "",
}


@pytest.mark.parametrize("rule", FAULTY)
async def test_a_claim_that_is_not_so_is_seen_by_the_running_appliance(tmp_path, rule):
    folder = tmp_path / "code" / f"appliance_faulty_{rule.replace('-', '_')}"
    folder.mkdir(parents=True)
    head = "from appliance import PluginInfo, hookimpl\nfrom appliance.api.config import PluginConfig\n"
    head += "from appliance.api.contrib import Migration, Route\n"
    config = ", config=Config" if "class Config" in FAULTY[rule] else ""
    info = f'plugin = PluginInfo(id="faulty", title="Faulty", api=1{config})'
    (folder / "__init__.py").write_text(f"{head}{FAULTY[rule]}\n{info}\n", encoding="utf-8")
    (folder / "quality.toml").write_text(text(**DONE), encoding="utf-8")
    module = loader.load_file(folder.name, folder / "__init__.py")
    async with running([module], state_dir=tmp_path / "state") as app:
        (shown,) = await app.get("/api/v1/plugins")
    assert rule in shown["quality"]["refuted"]
    assert shown["quality"]["level"] != "gold"


async def test_its_files_are_read_once_for_what_runs_is_what_was_imported(tmp_path, monkeypatch):
    file = tmp_path / "appliance_plain.py"
    head = '"""A plugin of one file, with a word about what it is for."""\n\nfrom appliance import PluginInfo\n\n'
    file.write_text(f'{head}plugin = PluginInfo(id="plain", title="Plain", api=1)\n', encoding="utf-8")
    module = loader.load_file(file.stem, file)
    times = []
    real = checklists.of_files
    monkeypatch.setattr(checklists, "of_files", lambda loaded: times.append(loaded.id) or real(loaded))
    async with running([module], state_dir=tmp_path / "state") as app:
        first = await app.get("/api/v1/plugins")
        file.write_text("def f(x): ...\n", encoding="utf-8")
        assert await app.get("/api/v1/plugins") == first
    assert times == ["plain"]
    assert "readme" in first[0]["quality"]["seen"]
