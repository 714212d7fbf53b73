"""What a program sends that read the document and nothing else: refused in words, never a fault of ours."""

from __future__ import annotations

import aiohttp
import pytest

from appliance.api.errors import ApiError
from appliance.core.bodies import reading_form
from appliance.core.paging import LARGEST_ID
from tests.plugins.web.whole_box import whole

LISTS = ["/api/v1/log", "/api/v1/members/{id}/probes", "/api/v1/sightings", "/api/v1/audit"]
FORMS = [
    ("multipart/form-data", b""),
    ("multipart/form-data; boundary=" + "x" * 80, b"--x--"),
    ("multipart/form-data; boundary=x", b"nothing of the kind"),
    ("multipart/form-data; boundary=x", b"--x\r\nContent-Length: many\r\n\r\n"),
    ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\ncut'),
    ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc\r\n' * 2 + b"--x--\r\n"),
    ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; x=" + b"a" * 20_000 + b"\r\n\r\nabc\r\n--x--\r\n"),
]  # fmt: skip


async def test_no_number_is_too_large_to_be_refused(tmp_path):
    async with whole(tmp_path, "demo", history=False) as box:
        for path in LISTS:
            at = path.replace("{id}", box.member)
            assert (await box.app.ask("GET", at, query={"before": str(LARGEST_ID)})).status == 200, path
            assert (await box.app.ask("GET", at, query={"before": str(LARGEST_ID + 1)})).status == 422, path


@pytest.mark.parametrize(("kind", "body"), FORMS)
async def test_a_form_that_is_none_is_refused_and_leaves_nothing(tmp_path, kind, body):
    (tmp_path / "state").mkdir()
    async with whole(tmp_path / "state", "empty", history=False) as box:
        name, value = box.cookie
        head = {"Content-Type": kind, "Sec-Fetch-Site": "same-origin", "Cookie": f"{name}={value}"}
        async with aiohttp.ClientSession() as session:
            for path in ("/api/v1/backup/restore", "/updates/upload"):
                async with session.post(box.base + path, data=body, headers=head) as reply:
                    text = await reply.text()
                    assert reply.status in (400, 403, 404, 422), (path, text)
                    assert "Got more than" not in text
        assert not list((tmp_path / "state").rglob("*.upload"))


def test_our_own_refusals_pass_through_the_reading_of_a_form():
    with pytest.raises(ApiError, match="no form"), reading_form():
        raise ValueError("boundary missed")
    with pytest.raises(KeyError), reading_form():
        raise KeyError("not a matter of the form")
