"""Templates of paths: taken apart once, compared as text where they can be."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.path_template import PathTemplate

_WORD = st.text("ab.-é~", min_size=1, max_size=3)
_PART = st.one_of(_WORD, st.sampled_from(["{id}", "{id}.json", "v{id}", "{page:[a-z/]+}"]))
_TEMPLATE = st.lists(_PART, max_size=4, unique=True).map(lambda parts: "/" + "/".join(parts))
_PATH = st.lists(st.one_of(_WORD, st.sampled_from(["v", "b.json", "", "a/b"])), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)


def as_expression(template: str) -> str:
    """The plain definition: everything between the braces aside, a template is what it says."""
    text, at = "", 0
    for found in re.finditer(r"\{(\w+)(?::([^{}]+))?\}", template):
        text += re.escape(template[at : found.start()]) + f"(?P<{found[1]}>{found[2] or '[^/]+'})"
        at = found.end()
    return text + re.escape(template[at:])


@given(_TEMPLATE, _PATH)
def test_a_template_takes_what_its_expression_takes(template, path):
    try:
        expected = re.fullmatch(as_expression(template), path)
    except re.error:
        with pytest.raises(re.error):
            PathTemplate(template)
        return
    assert PathTemplate(template).match(path) == (expected and expected.groupdict())


@pytest.mark.parametrize("wrong", ["/{id}/{id}", "/{1st}", "/{page:[}"])
def test_what_is_wrong_with_a_template_is_said_when_it_is_made(wrong):
    with pytest.raises(re.error):
        PathTemplate(wrong)


def test_names_of_parameters_make_no_difference_to_the_shape():
    assert PathTemplate("/a/{id}").shape == PathTemplate("/a/{name}").shape != PathTemplate("/a/b").shape


def test_fixed_paths_come_before_those_with_parameters_and_long_before_short():
    texts = ["/a/{id}", "/a", "/a/{id}/log", "/a/b"]
    assert sorted(texts, key=lambda text: PathTemplate(text).specificity) == [
        "/a/b",
        "/a",
        "/a/{id}/log",
        "/a/{id}",
    ]
