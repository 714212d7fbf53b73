"""Templates to text. Everything that goes in is escaped; markup comes only from templates and `appliance_web.charts`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from appliance.api.foreign import is_plain
from appliance.core.routes import Reply
from appliance_web import charts, words
from appliance_web.assets import Assets
from appliance_web.views import check


def _visible(value: Any) -> Any:
    """Make control bytes in any text visible; markup of ours passes."""
    return words.printable(value) if type(value) is str and not is_plain(value) else value


def _lined(text: str) -> Markup:
    """Text of several lines, for a field that takes several: only what ends a line is left as it is."""
    return Markup("\n").join(_visible(line) for line in text.split("\n"))


class Renderer:
    """Holds the compiled templates."""

    def __init__(self, assets: Assets) -> None:
        self._foreign: dict[str, jinja2.BaseLoader] = {}
        own = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
        self._env = jinja2.Environment(
            loader=jinja2.ChoiceLoader([own, jinja2.PrefixLoader(self._foreign)]),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            finalize=_visible,
        )
        self._env.filters |= {
            name: getattr(words, name)
            for name in (
                "seconds",
                "offset",
                "duration",
                "score",
                "step",
                "percent",
                "count",
                "size",
                "moment",
                "iso",
                "leap",
                "said",
                "ticks",
            )
        }
        self._env.filters["lined"] = _lined
        self._env.filters["good_offsets"] = check.offsets
        self._env.globals |= {
            "ago": words.ago,
            "plural": words.plural,
            "asset": assets.url,
            "zoomable": assets.has("uplot.js", "uplot.css"),
            "charts": charts,
        }
        #: Known to every template: no page gives these another meaning.
        self.names = frozenset({"ago", "plural", "asset", "zoomable", "charts"})

    def add_templates(self, plugin: str, folder: Path) -> None:
        """Make another plugin's templates known as "<plugin>/<file name>"."""
        self._foreign[plugin] = jinja2.FileSystemLoader(folder)

    def text(self, template: str, values: Mapping[str, Any]) -> str:
        return self._env.get_template(template).render(values)

    def page(self, template: str, values: Mapping[str, Any], status: int = 200) -> Reply:
        """A whole page as reply; never kept by caches between us and the reader."""
        return Reply(self.text(template, values), status, {"Cache-Control": "no-cache, private"}, "text/html")
