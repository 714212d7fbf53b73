"""Static files: scripts travel without what only their authors read."""

from __future__ import annotations

import pytest

from appliance_web.assets import Assets, lean


def test_comments_and_indentation_stay_here_and_nothing_else_changes():
    script = '// about\n  const a = "// no comment";\n\n    // about b\n    b(a); // says why\n'
    assert lean(script) == 'const a = "// no comment";\nb(a); // says why'


def test_a_text_over_several_lines_is_refused_because_its_lines_would_change():
    with pytest.raises(ValueError, match="over several lines"):
        lean("const a = `\n   two`;\n")


def test_our_own_scripts_are_all_lean():
    assets = Assets()
    for name in ("timeball.js", "charts.js"):
        text = assets.text(name)
        assert "\n  " not in text
        assert "\n//" not in text
