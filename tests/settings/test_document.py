"""A changed document says exactly what was asked for, and every other byte is as a person wrote it."""

import tomllib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.core.config import MISSING, look_up
from appliance.core.toml_positions import outline
from appliance.settings.document import UNSET, CannotEdit, changed, edit, written

WRITTEN = """\
# Our harbour.
[appliance]
state_dir = "/var/lib/timeball"   # the card

[plugins.dns]
zone = "pool.example.org"  # ours
# Short, for the demonstration.
ttl = 60

# The web page is for us alone.
[plugins.web]
listen = [
  "127.0.0.1:8080",  # the tunnel
  # and the other family
  "[::1]:8080",
]

[[plugins.members.member]]
address = "192.0.2.11"  # the lighthouse
netspeed = 1000

# bought in 1998
[[plugins.members.member]]
address = "192.0.2.12"

[[plugins.members.member]]
address = "192.0.2.13"
"""


def comments(text):
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    return sorted(text[a:b] for a, b in outline(text).comments)


def test_a_value_is_replaced_and_nothing_else():
    after = edit(WRITTEN, [(("plugins", "dns", "ttl"), 90)])
    assert after == WRITTEN.replace("ttl = 60", "ttl = 90")


def test_a_new_key_stands_in_its_table_and_not_under_the_comment_of_the_next():
    after = edit(WRITTEN, [(("plugins", "dns", "max_records"), 3)])
    assert after == WRITTEN.replace("ttl = 60\n", "ttl = 60\nmax_records = 3\n")


def test_comments_inside_a_replaced_list_move_above_it():
    after = edit(WRITTEN, [(("plugins", "web", "listen"), ["127.0.0.1:80"])])
    assert '# the tunnel\n# and the other family\nlisten = ["127.0.0.1:80"]\n' in after
    assert comments(after) == comments(WRITTEN)


def test_a_key_that_is_taken_back_leaves_its_comment():
    after = edit(WRITTEN, [(("plugins", "dns", "zone"), UNSET)])
    assert after == WRITTEN.replace('zone = "pool.example.org"  # ours', "# ours")


def test_a_new_table_stands_behind_the_nearest_and_the_other_elements_stay():
    members = [
        {"address": "192.0.2.11", "netspeed": 3000},
        {"address": "192.0.2.13"},
        {"address": "192.0.2.14"},
    ]
    after = edit(
        WRITTEN, [(("plugins", "members", "member"), members), (("plugins", "dns", "soa", "refresh"), 60)]
    )
    assert tomllib.loads(after)["plugins"]["members"]["member"] == members
    assert 'address = "192.0.2.11"  # the lighthouse\nnetspeed = 3000' in after
    assert "ttl = 60\n\n[plugins.dns.soa]\nrefresh = 60\n" in after
    assert comments(after) == comments(WRITTEN)


def test_a_new_table_takes_no_comment_away_from_what_it_was_written_about():
    """What stands below the last key was said about that, or about the file; a table between them would take it over."""
    text = (
        "[[plugins.members.member]]\naddress = 'a'\n# below the first\n\n# above the second\n[[plugins.members.member]]\n"
        "address = 'b'\n# below the second\n\n# the end"
    )
    assert edit(text, [(("plugins", "dns", "ttl"), 5)]) == text + "\n\n[plugins.dns]\nttl = 5\n"
    three = [{"address": "a"}, {"address": "new"}, {"address": "b"}]
    assert edit(text, [(("plugins", "members", "member"), three)]) == text.replace(
        "# below the first\n", '# below the first\n\n[[plugins.members.member]]\naddress = "new"\n'
    )


def test_line_ends_and_byte_order_mark_stay():
    strange = "\ufeff" + WRITTEN.replace("\n", "\r\n")
    after = edit(strange, [(("plugins", "dns", "max_records"), 3), (("plugins", "ntp", "listen"), ["a:1"])])
    assert after.startswith("\ufeff")
    assert after.count("\n") == after.count("\r\n")


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("plugins = {dns = {ttl = 1}}\n", ("plugins", "dns", "ttl"), 2),
        ("plugins.dns.ttl = 1\nplugins.dns.zone = 'x'\n", ("plugins", "dns", "max_records"), 2),
        ("[plugins]\ndns.ttl = 1", ("plugins", "dns", "zone"), "x"),
        ("[plugins.dns.soa]\nttl = 1\n", ("plugins", "dns", "ttl"), 2),
        ("[plugins]\n'dns'.\"ttl\" = 1\n", ("plugins", "dns", "ttl"), 2),
        ("[[plugins.dns.ns]]\nname = 'a'\n", ("plugins", "dns", "ns"), []),
        ("[plugins.dns]\nns = [{name = 'a'}, {name = 'b'}]\n", ("plugins", "dns", "ns", 1, "name"), "c"),
        ("[plugins.a]\n[other]\n[plugins.b]\n", ("plugins", "a", "x"), 1),
        ("", ("plugins", "dns", "ns"), [{"name": "a", "inner": {"x": [1, {"y": 2}]}}]),
        ("[plugins.dns]\nsoa = 3\n", ("plugins", "dns", "soa"), {"ttl": 1}),
    ],
)
def test_every_way_to_write_a_table_is_understood(text, path, value):
    after = edit(text, [(path, value)])
    assert look_up(tomllib.loads(after), path) == value


def test_a_path_into_nowhere_is_refused():
    with pytest.raises(CannotEdit):
        edit("[plugins.dns]\nns = []\n", [(("plugins", "dns", "ns", 3, "name"), "x")])


# -- any document, any change --------------------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "c", "d e", "ttl", "é.x", ""])
scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)
remarks = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)


@st.composite
def documents(draw):
    """Documents as people write them: headers, elements, dotted keys, comments everywhere, and values of any kind."""
    lines = []
    used = set()
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            lines += [f"# {draw(remarks)}"]
        table = tuple(draw(st.lists(names, min_size=1, max_size=2)))
        element = draw(st.booleans())
        lines.append(("[[{}]]" if element else "[{}]").format(".".join(_quoted(n) for n in table)) + "  # h")
        for _ in range(draw(st.integers(0, 3))):
            keys = draw(st.lists(names, min_size=1, max_size=2))
            lines.append(
                f"{'.'.join(_quoted(k) for k in keys)} = {draw(values.map(written))} # {draw(remarks)}"
            )
        used.add(table)
    text = "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n\n# the end"]))
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return draw(st.sampled_from([WRITTEN, ""]))
    return text


def _quoted(name):
    return written(name)


@settings(max_examples=300, deadline=None)
@example(WRITTEN, ("plugins",), UNSET)
@given(documents(), st.lists(names, min_size=1, max_size=3).map(tuple), values | st.just(UNSET))
def test_any_change_of_any_document_says_what_was_asked_and_keeps_every_comment(text, path, value):
    try:
        expected = changed(tomllib.loads(text), path, value)
        after = edit(text, [(path, value)])
    except CannotEdit:
        return  # told, and nothing is written
    found = look_up(tomllib.loads(after), path)
    if value is UNSET:
        assert found is MISSING or found == {}
    elif value != {}:
        assert found == look_up(expected, path)
    assert not set(comments(text)) - set(comments(after))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=8), st.lists(st.integers(0, 9), max_size=8), st.booleans())
def test_any_list_of_tables_becomes_any_other(old, new, comment):
    def elements(numbers):
        return [{"address": f"192.0.2.{n}", "netspeed": n * 7 % 4} for n in numbers]

    text = edit("", [(("plugins", "members", "member"), elements(old))])
    if comment:
        text = text.replace("\nnetspeed", "  # here\nnetspeed")
    after = edit(text, [(("plugins", "members", "member"), elements(new))])
    assert tomllib.loads(after)["plugins"]["members"]["member"] == elements(new)
    assert comments(after) == comments(text)


@settings(max_examples=200, deadline=None)
@given(values)
def test_what_is_written_is_read_back(value):
    assert tomllib.loads(f"x = {written(value)}")["x"] == value
