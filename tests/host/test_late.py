"""A library that is read late is the same library, whoever uses it first."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEGINS = """
import sys
from appliance.host.late import import_late
import_late("dateutil.parser", "there.is.none", "nor_this", "json")
read = lambda: "dateutil.parser._parser" in sys.modules
"""


@pytest.mark.parametrize(
    "uses",
    [
        pytest.param("import sqlite_utils; assert not read()", id="nobody uses it"),
        pytest.param(
            "import sqlite_utils; from sqlite_utils import recipes; assert not read();"
            "assert recipes.parsedate('1 March 2026') == '2026-03-01'; assert read()",
            id="by another library",
        ),
        pytest.param(
            "import dateutil.parser, inspect; inspect.getmodule(read); repr(dateutil.parser); assert not read();"
            "assert not hasattr(dateutil.parser, '__wrapped__'); assert not hasattr(dateutil.parser, 'nothing'); assert read()",
            id="by whoever looks through all modules",
        ),
        pytest.param(
            "from dateutil.parser import isoparse; assert isoparse('2026-03-01').year == 2026;"
            "import importlib, dateutil.parser; assert importlib.reload(dateutil.parser) is dateutil.parser",
            id="by name",
        ),
        pytest.param(
            "import concurrent.futures as c, dateutil.parser as p, threading; b = threading.Barrier(8);"
            "f = lambda _: (b.wait(), p.parse('1 March 2026').day)[1];"
            "assert list(c.ThreadPoolExecutor(8).map(f, range(8))) == [1] * 8",
            id="by eight threads at once",
        ),
    ],
)
def test_it_is_read_by_its_first_use(uses):
    done = subprocess.run([sys.executable, "-c", BEGINS + uses], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
