"""The manual: Markdown of the package as safe pages, offline."""

from __future__ import annotations

import pytest

from appliance.api.errors import NotFound
from appliance_web import manual
from tests.plugins.web.html_check import read


def html(source, name=""):
    return str(manual.to_html(source, name))


def test_what_the_manual_uses_is_rendered():
    text = html(
        '# Title\n\nA *word* and `code`.\n\n- one\n- two\n\n```toml\nkey = "<value>"\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n'
    )
    for part in (
        '<h1 id="title">Title</h1>',
        "<em>word</em>",
        "<code>code</code>",
        "<li>one</li>",
        "&lt;value&gt;",
        "<td>1</td>",
        '<div class="scroll"><table>',
    ):
        assert part in text


def test_nothing_in_a_page_can_do_anything():
    text = html(
        "# T\n\n<script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n\n[x](javascript:alert(1)) [y](data:text/html,x) ![z](http://evil.example/x.png)\n"
    )
    assert "<script" not in text
    assert "<img src=x" not in text
    assert 'href="javascript' not in text
    assert 'href="data' not in text


def test_links_between_pages_become_ours():
    assert 'href="/help/dns#ttl"' in html("[x](dns.md#ttl)", "web")
    assert 'href="/help/web"' in html("[x](../web.md)", "adr/0001-x")
    assert 'href="/help/adr/0002-y"' in html("[x](0002-y.md)", "adr/0001-x")
    assert 'href="https://example.org/a.md"' in html("[x](https://example.org/a.md)")
    assert 'href="#here"' in html("[x](#here)")


def test_drawings_come_from_the_box_itself():
    assert 'src="/help/img/flash-card.svg"' in html("![x](img/flash-card.svg)", "flash")
    assert 'src="/help/img/flash-card.svg"' in html("![x](../img/flash-card.svg)", "adr/0001-x")
    assert manual.picture("flash-card.svg").startswith(b"<svg ")


@pytest.mark.parametrize(
    "name", ["../flash.md", "..%2fx.svg", "overview.png", "", "Flash.svg", "not-there.svg", "a" * 99 + ".svg"]
)
def test_what_is_no_drawing_is_not_there(name):
    with pytest.raises(NotFound):
        manual.picture(name)


@pytest.mark.parametrize(
    "name",
    [
        "../../pyproject",
        "..",
        "web/../web",
        "/etc/passwd",
        "web.md",
        "",
        "Web",
        "a" * 500,
        "x/y/z",
        "web\x00",
    ],
)
def test_only_pages_of_the_manual_are_shown(name):
    with pytest.raises(NotFound):
        manual.page(name)


def test_every_page_of_the_manual_is_whole():
    names = [entry.name for entry in manual.contents()]
    assert "web" in names
    for name in names:
        found = manual.page(name)
        assert found.title
        complaints = [c for c in read(f"<main>{found.html}</main>").complaints if "leads away" not in c]
        assert complaints == [], name
