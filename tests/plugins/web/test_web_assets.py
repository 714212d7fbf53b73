"""Static files: scripts travel without what only their authors read."""

from __future__ import annotations

import re

import pytest

from appliance_web.assets import FOLDER, Assets
from appliance_web.leaner import lean

#: Ours, compressed, as a page with charts and any other page load them.
SCRIPTS = ("timeball.js", "charts.js")


@pytest.mark.parametrize(
    ("script", "left"),
    [
        (
            '// about\n  const a = "// no comment";\n\n  b(a); // says why\n',
            'const a="// no comment";\nb(a);',
        ),
        ("a = b + +c - -d;", "a=b + +c - -d;"),
        ("if (a < !b || c) return -1; else return [2];", "if(a< !b||c)return -1;else return[2];"),
        ("const { x, y } = z ? `${ f({ a: `}  ` }) }  !` : 'it  \\' is';", None),
        ("x = a / b /* no */; y()", "x=a / b;y()"),
        ('f(`a  \\`  b`, "\'  `");', 'f(`a  \\`  b`,"\'  `");'),
        ("const a = 1\nb()", "const a=1\nb()"),
        ('const u = "http://x" // y', 'const u="http://x"'),
    ],
)
def test_what_means_nothing_stays_here_and_nothing_else_changes(script, left):
    if left is None:
        left = "const{x,y}=z?`${ f({ a: `}  ` }) }  !`:'it  \\' is';"
    assert lean(script) == left
    assert lean(left) == left


@pytest.mark.parametrize(
    "script", ["const a = `\n   two`;\n", 'a = "one', "x = /y/.test(z)", "/* one\n two */", "`${ {", "`${`a"]
)
def test_what_it_cannot_tell_apart_is_refused_with_its_line(script):
    with pytest.raises(
        ValueError, match=r"line 1, a text over several lines, or|line 1, a text over several"
    ):
        lean(script)


@pytest.mark.parametrize("name", [*SCRIPTS, "updates.js"])
def test_our_own_scripts_lose_comments_and_spaces_alone(name):
    def bare(script):
        return re.sub(
            r"\s+", "", "\n".join(re.sub(r"(^|\s)(//.*|/\*[^*]*\*/)", "", s) for s in script.split("\n"))
        )

    source = (FOLDER / name).read_text(encoding="utf-8")
    sent = Assets().text(name)
    assert len(sent) < len(source)
    assert bare(sent) == bare(re.sub(r"/\* [a-z :]+ \*/", "", source))


def test_our_own_scripts_of_a_page_with_charts_stay_below_six_kilobytes():
    assets = Assets()
    sizes = {name: assets.packed_size(name) for name in SCRIPTS}
    assert sum(sizes.values()) <= 5_900, sizes
