"""The API does what its document says: thousands of requests made from the document, over HTTP, against a whole appliance."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.core.routes import RouteTable
from appliance.testing import running
from appliance_people.people import People
from appliance_people.sessions import cookie_name
from tests.plugins.web.test_web_whole import CONFIG, PLUGINS
from tests.plugins.web.visiting import address
from tests.plugins.web.whole_box import whole as whole_box
from tests.support.programs import free_port

#: No server error, no undocumented status, kind, header or shape, no method that is not there. What needs more than the
#: document (which input is good, who may) is other tests' business.
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,allow_header_conformance"
)
EXAMPLES = int(os.environ.get("TIMEBALL_FUZZ_EXAMPLES", "200"))
#: The box's operations say 503 where no agent runs, as on the machine of a test: documented, and no fault. And whoever
#: shows one wrong token after the other waits (429): with those all the rest would not be looked at.
SETTINGS = """
[generation]
with-security-parameters = false
[[operations]]
include-path-regex = "^/api/v1/box(/|$)"
[operations.checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503"]
"""


@asynccontextmanager
async def whole(tmp_path):
    """An appliance of all plugins, which takes any number of requests of somebody who may run the pool."""
    config = CONFIG.format(port=free_port()).replace(
        "[plugins.web]\n", "[plugins.web]\nreads_per_minute = 1000000\nchanges_per_minute = 1000000\n"
    )
    async with running(PLUGINS, config, state_dir=tmp_path) as app:
        await app.until_running()
        yield app


async def compared(app, tmp_path, *flags, base="", asker=()):
    """Run schemathesis; its complaints, or "" when there are none."""
    base = base or address(app)
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(SETTINGS)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "run", f"{base}/api/v1/openapi.json",
        "--checks", CHECKS,
        "--header", "Sec-Fetch-Site: same-origin", "--exclude-path", "/api/v1/events",
        # They say 503 when the pool is not well, which it is not after this treatment.
        "--exclude-path", "/health", "--exclude-path", "/api/v1/health", "--request-timeout", "60",
        "--seed", "1", "--workers", "1", "--no-color", *flags,
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "NO_PROXY": "127.0.0.1", "COLUMNS": "160", "SCHEMATHESIS_HOOKS": "schema_hooks",
             "TIMEBALL_FUZZ_ASKER": ",".join(asker), "PYTHONPATH": str(Path(__file__).parent)},
    )  # fmt: skip
    try:
        text = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert "Tested:" in text, text
    return "" if process.returncode == 0 else text


@pytest.mark.timeout(600)
async def test_the_api_does_what_its_document_says(tmp_path, caplog):
    async with whole(tmp_path / "state") as app:
        complaints = await compared(
            app,
            tmp_path,
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            "3",
            "--generation-deterministic",
        )
        assert not complaints, complaints
        assert "failed (incident" not in caplog.text


@pytest.mark.slow
@pytest.mark.timeout(7200)
async def test_fuzz_the_api_from_its_document(tmp_path, caplog):
    """The same at length, and operation after operation (`make fuzz`; TIMEBALL_FUZZ_EXAMPLES)."""
    async with whole(tmp_path / "state") as app:
        complaints = await compared(
            app, tmp_path, "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES)
        )
        assert not complaints, complaints
        assert "failed (incident" not in caplog.text


#: What would end the session that asks, or stop the appliance that is asked.
ENDS = (
    ("DELETE", "/api/v1/session"),
    ("DELETE", "/api/v1/sessions"),
    ("DELETE", "/api/v1/sessions/{id}"),
    ("POST", "/api/v1/users/{id}/reset"),
    ("POST", "/api/v1/session/password"),
    ("POST", "/api/v1/updates/restart"),
)


@pytest.mark.slow
@pytest.mark.timeout(7200)
async def test_an_owner_over_https_is_answered_what_the_document_says(tmp_path, caplog):
    """All plugins, every operation that a signed-in owner has, over HTTPS (TIMEBALL_FUZZ_EXAMPLES; 20 in `make test-slow`)."""
    (tmp_path / "state").mkdir()
    async with whole_box(tmp_path / "state", "demo", history=False, tls="127.0.0.1:0") as box:
        secure = address(box.app, "https")
        _, value = box.cookie
        people = box.app.service(People)
        asker = next(iter(people.users.values()))
        skipped = [flag for _, path in ENDS for flag in ("--exclude-path", path)]
        complaints = await compared(
            box.app, tmp_path, "--tls-verify", "false", "--header", f"Cookie: {cookie_name('tls')}={value}",
            "--exclude-path", "/metrics", *skipped, "--phases", "examples,coverage,fuzzing",
            "--max-examples", os.environ.get("TIMEBALL_FUZZ_EXAMPLES", "20"), base=secure, asker=(asker.id, asker.name),
        )  # fmt: skip
        assert not complaints, complaints
        assert "failed (incident" not in caplog.text
        assert people.users[asker.id].role == "owner" and people.sessions_of(asker.id)


async def test_every_operation_says_what_it_answers(tmp_path):
    """All plugins: each JSON answer has a schema that says something, down to the members of its objects."""
    config = CONFIG.format(port=free_port())
    async with running(None, config, state_dir=tmp_path / "state") as app:
        await app.until_running()
        silent = [
            mounted.id
            for mounted in app.host.services.get(RouteTable).routes()
            if not (mounted.route.page or mounted.route.stream)
            and mounted.route.status != 204
            and any("json" in kind for kind in mounted.route.produces)
            and vague(mounted.route.returns)
        ]
        assert silent == []


def vague(schema):
    """Whether a schema says no more than that there is something."""
    if isinstance(schema, type):
        return False
    if not schema:
        return True
    if "oneOf" in schema:
        return any(vague(one) for one in schema["oneOf"])
    if schema.get("type") == "array":
        return vague(schema.get("items"))
    if schema.get("type") == "object":
        return not ({"properties", "required", "additionalProperties"} & schema.keys())
    return False
