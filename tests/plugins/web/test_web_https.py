"""HTTPS over real sockets: by itself from the first start, renewed while people are connected, and nothing secret over plain HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import ssl

import aiohttp
import pytest

from appliance.api.model import PluginState
from appliance.testing import running, wait_until
from appliance_web import doorman
from appliance_web.front import Front
from appliance_web.tls import names
from tests.plugins.web.test_web_tls import LEAF, MIDDLE, ROOT, chain_pem, issue, plain_pem, texts
from tests.plugins.web.visiting import address, visited
from tests.support.programs import cannot_run, free_port

OURS = {"Sec-Fetch-Site": "same-origin"}
#: Over a proxy on loopback anybody can come from anywhere, as far as the appliance can tell.
PROXY = 'proxies = ["127.0.0.1"]\n'
FAR = {"X-Forwarded-For": "8.8.8.8", "X-Forwarded-Proto": "http"}
NEAR = {"X-Forwarded-For": "192.168.1.5", "X-Forwarded-Proto": "http"}


def trusting(pem):
    return ssl.create_default_context(cadata=pem.decode() if isinstance(pem, bytes) else pem)


def keeper(visitor):
    return visitor.app.host.services.get(Front).keeper


async def authority(visitor):
    return (await visitor.get("/api/v1/tls/authority.crt"))[1]


def fingerprint_of(transport):
    import hashlib

    return hashlib.sha256(transport.get_extra_info("ssl_object").getpeercert(binary_form=True)).hexdigest()


@contextlib.asynccontextmanager
async def handshaken(visitor, context, name="localhost"):
    host, port = address(visitor.app, "https").removeprefix("https://").rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=name)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def gone(writer):
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def ask(reader, writer, path="/health"):
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    async with asyncio.timeout(20):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        await reader.readexactly(length)
    return head


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "hostname", "local"])
async def test_whoever_trusts_the_authority_reaches_every_page_by_every_name(tmp_path, name):
    """The certificate fits host, host.local, localhost and the address; checked by the ssl module's own rules."""
    async with visited(tmp_path) as visitor:
        box = names.here()
        called = {"hostname": box.dns[0], "local": next(n for n in box.dns if n.endswith(".local"))}.get(
            name, name
        )
        async with handshaken(visitor, trusting(await authority(visitor)), called) as (reader, writer):
            for path in ("/", "/tls", "/status", "/api/v1/tls", "/health"):
                head = await ask(reader, writer, path)
                assert "strict-transport-security" not in head


async def test_who_does_not_trust_it_is_told_so_by_tls(tmp_path):
    async with visited(tmp_path) as visitor:
        with pytest.raises(ssl.SSLCertVerificationError):
            async with handshaken(visitor, ssl.create_default_context()):
                pass
        assert (await visitor.get("/"))[0] == 200


async def test_a_new_certificate_is_served_without_a_restart_and_without_losing_a_connection(tmp_path):
    async with visited(tmp_path) as visitor:
        context = trusting(await authority(visitor))
        async with handshaken(visitor, context) as before:
            await ask(*before)
            async with visitor.session.post(
                visitor.base + "/api/v1/tls/renew", json={}, headers=OURS
            ) as reply:
                assert reply.status in (401, 403)  # nobody signed in
            shown = await visitor.app.post("/api/v1/tls/renew", {})
            async with handshaken(visitor, context) as after:
                assert (
                    fingerprint_of(after[1].transport)
                    == shown["certificate"]["fingerprint_sha256"].replace(":", "").lower()
                )
                assert fingerprint_of(before[1].transport) != fingerprint_of(after[1].transport)
                await ask(*after)
            await ask(*before)


async def test_an_own_certificate_is_served_from_the_next_connection_on_and_back_again(tmp_path):
    """With HSTS, which the box's own certificate never asks for."""
    async with visited(tmp_path, config='hosts = ["localhost.example.org"]') as visitor:
        own = issue(by=MIDDLE, names=("localhost.example.org", "*.localhost"), begins_s=1.7e9, ends_s=4e9)
        middle = issue("Middle", by=ROOT, ca=True, begins_s=1.7e9, ends_s=4e9, key=MIDDLE[1])
        body = {"certificate": chain_pem([own[0], middle[0]]).decode(), "key": plain_pem(own[1])}
        shown = (await visitor.app.ask("PUT", "/api/v1/tls/certificate", body=body)).value
        assert shown["source"] == "uploaded"
        assert "PRIVATE" not in json.dumps(shown)
        insecure = ssl.create_default_context()
        insecure.check_hostname, insecure.verify_mode = False, ssl.CERT_NONE
        async with handshaken(visitor, insecure, "localhost.example.org") as (reader, writer):
            assert (
                fingerprint_of(writer.transport)
                == shown["certificate"]["fingerprint_sha256"].replace(":", "").lower()
            )
            assert "strict-transport-security: max-age=2592000" in await ask(reader, writer)
        bad = await visitor.app.ask(
            "PUT", "/api/v1/tls/certificate", body={**body, "key": plain_pem(LEAF[1])}
        )
        assert bad.status == 422
        assert bad.value["errors"][0]["field"] == "key"
        assert (await visitor.app.get("/api/v1/tls"))["certificate"] == shown["certificate"]
        assert (await visitor.app.ask("DELETE", "/api/v1/tls/certificate")).status == 200
        assert (await visitor.app.ask("DELETE", "/api/v1/tls/certificate")).status == 404
        async with handshaken(visitor, trusting(await authority(visitor))) as (reader, writer):
            assert "strict-transport-security" not in await ask(reader, writer)


async def test_a_clock_that_becomes_right_brings_a_certificate_that_holds(tmp_path, monkeypatch):
    monkeypatch.setattr("appliance_web.service.CERTIFICATES_S", 0.05)
    from appliance.testing import FakeClock

    clock = FakeClock(wall_ns=3600 * 10**9)  # 1970-01-01, one in the morning
    async with running(
        ["web"], '[plugins.web]\nlisten = "127.0.0.1:0"', state_dir=tmp_path, clock=clock
    ) as app:
        await app.until_running("web")
        front = app.host.services.get(Front)
        first, top = front.keeper.serving.pair.certificate, front.keeper.authority.certificate
        clock.wall_offset_ns += 1_900_000_000 * 10**9
        while front.keeper.serving.pair.certificate == first:
            await clock.advance(1.0)
            await asyncio.sleep(0.01)
        assert front.keeper.serving.pair.certificate.not_valid_after_utc.timestamp() > 1.9e9
        assert front.keeper.authority.certificate == top


async def test_handshakes_that_never_end_are_connections_like_others(tmp_path, monkeypatch):
    """They are counted, they have to go for newcomers, and their time ends."""
    monkeypatch.setattr(doorman, "FIRST_REQUEST_S", 1.0)
    async with (
        visited(tmp_path, config="max_connections = 8") as visitor,
        contextlib.AsyncExitStack() as stack,
    ):
        host, port = address(visitor.app, "https").removeprefix("https://").rsplit(":", 1)
        readers = []
        for number in range(20):
            reader, writer = await asyncio.open_connection(host, int(port))
            stack.push_async_callback(gone, writer)
            writer.write((b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n")[number % 3])
            readers.append(reader)
        async with handshaken(visitor, trusting(await authority(visitor))) as (reader, writer):
            await ask(reader, writer)
        await wait_until(lambda: all(r.at_eof() or r.exception() for r in readers), "all of them to end")


# -- plain HTTP ------------------------------------------------------------------------------------------------------


async def test_other_machines_get_the_public_part_over_plain_http_and_are_sent_on_for_the_rest(tmp_path):
    async with visited(tmp_path, config=PROXY, plugins=("web", "metrics")) as visitor:
        port = address(visitor.app, "https").rsplit(":", 1)[1]
        for path in (
            "/health",
            "/status",
            "/help",
            "/help/web",
            "/api/v1/health",
            "/api/v1/openapi.json",
            "/api/v1/tls/authority.crt",
        ):
            assert (await visitor.get(path, **FAR))[0] in (200, 503), path
        for path in ("/members", "/plugins", "/tls", "/members/m00001?range=1d"):
            status, _, headers = await visitor.get(path, **FAR)
            assert (status, headers["location"]) == (302, f"https://127.0.0.1:{port}{path}"), path
            assert headers["cache-control"] == "no-store"
        status, _, headers = await visitor.get("/", **FAR)
        assert (status, headers["location"]) == (302, "/status")
        status, text, _ = await visitor.get("/status", **FAR)
        assert f'href="https://127.0.0.1:{port}/"' in text
        assert keeper(visitor).serving is not None
        shown = await visitor.app.get("/api/v1/tls")
        assert shown["certificate"]["fingerprint_sha256"] in text
        for method, path in (
            ("GET", "/api/v1/status"),
            ("POST", "/members/add"),
            ("POST", "/api/v1/tls/renew"),
            ("GET", "/api/v1/events"),
        ):
            async with visitor.session.request(
                method, visitor.base + path, headers={**FAR, **OURS, "Accept": "*/*"}, allow_redirects=False
            ) as reply:
                found = await reply.json(content_type=None)
                assert (reply.status, found["code"]) == (403, "https_required"), path


async def test_a_listed_scraper_gets_the_figures_over_plain_http_and_nobody_else(tmp_path):
    async with visited(
        tmp_path, config=PROXY + 'scrapers = ["8.8.8.8"]', plugins=("web", "metrics")
    ) as visitor:
        status, text, _ = await visitor.get("/metrics", **FAR)
        assert status == 200
        assert "timeball_certificate_expiry_timestamp_seconds" in text
        assert (await visitor.get("/metrics", **{**FAR, "X-Forwarded-For": "8.8.4.4"}))[0] in (302, 303, 401)


async def test_over_tls_the_same_asks_who_you_are_instead(tmp_path):
    async with visited(tmp_path, config=PROXY) as visitor:
        secure = {**FAR, "X-Forwarded-Proto": "https", "Accept": "*/*"}
        status, text, _ = await visitor.get("/api/v1/events", **secure)
        assert (status, json.loads(text)["code"]) == (401, "login_required")


async def test_administration_over_plain_http_takes_the_owner_s_word_and_a_private_address(tmp_path):
    """And every page says so."""
    async with visited(tmp_path / "a", config=PROXY + "allow_http_admin = true") as visitor:
        status, text, _ = await visitor.get("/help", **NEAR)
        assert status == 200
        assert "everybody on the way can read along" in text
        assert (await visitor.get("/members", **NEAR))[0] in (200, 401)
        assert (await visitor.get("/members", **FAR))[0] == 302
        _, text, _ = await visitor.get("/help")
        assert "everybody on the way" not in text
    async with visited(tmp_path / "b", config=PROXY) as visitor:
        assert (await visitor.get("/members", **NEAR))[0] == 302


async def test_without_https_nobody_is_sent_anywhere(tmp_path):
    async with visited(tmp_path, config=PROXY + "listen_tls = []") as visitor:
        assert "https" not in visitor.app.status("web").text
        status, text, _ = await visitor.get("/members", **FAR)
        assert status == 403
        assert "listen_tls" in text
        assert "HTTPS is not served" in (await visitor.get("/status", **FAR))[1]


async def test_an_address_of_this_machine_is_not_the_machine_itself(tmp_path):
    """The contract's listen = "0.0.0.0:80" in small: reached by the box's own address, it is a stranger's connection."""
    mine = next((str(i.ip) for i in names.here().interfaces if i.version == 4), None)
    if mine is None:
        cannot_run("this machine has no address but loopback")
    async with running(["web"], '[plugins.web]\nlisten = "0.0.0.0:0"', state_dir=tmp_path) as app:
        await app.until_running("web")
        port = address(app).rsplit(":", 1)[1]
        async with aiohttp.ClientSession() as session:
            async with session.get(
                f"http://{mine}:{port}/members", allow_redirects=False, headers={"Accept": "text/html"}
            ) as reply:
                assert reply.status == 302
                secure = reply.headers["Location"]
            assert secure.startswith(f"https://{mine}:")
            front = app.host.services.get(Front)
            context = trusting(front.keeper.give_out_authority())
            async with session.get(
                secure, ssl=context, headers={"Accept": "*/*"}, allow_redirects=False
            ) as reply:
                assert reply.status in (302, 303, 401)
            async with session.get(f"http://127.0.0.1:{port}/members") as reply:
                assert reply.status == 200


# -- ports -----------------------------------------------------------------------------------------------------------


async def test_a_tls_port_that_nobody_asked_for_may_be_taken(tmp_path):
    """The pages work without, and say what is wrong; one that was asked for is waited for."""
    plain, beside = free_port(), free_port()
    while beside + 363 > 65535:
        beside = free_port()
    taken = beside + 363
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", taken)
    async with running(
        ["web"], f'[plugins.web]\nlisten = "127.0.0.1:{beside}"', state_dir=tmp_path / "a"
    ) as app:
        await app.until_running("web")
        assert f"no HTTPS at 127.0.0.1:{taken}" in app.status("web").text
        assert "HTTPS is not served" in json.dumps(await app.get("/api/v1/health"))
    text = f'[plugins.web]\nlisten = "127.0.0.1:{plain}"\nlisten_tls = "127.0.0.1:{taken}"'
    async with running(["web"], text, state_dir=tmp_path / "b") as app:
        await wait_until(lambda: app.status("web").state is PluginState.BACKOFF, "web to wait")
        assert f"127.0.0.1:{taken}" in app.status("web").why
        server.close()
        await server.wait_closed()
        await app.until_running("web")


async def test_whose_password_was_given_long_ago_gives_it_again_for_what_is_served_and_trusted(tmp_path):
    async with visited(tmp_path) as visitor:
        from appliance.api.actor import acting
        from appliance.core.routes import Request

        certificate, key = texts(issue(by=MIDDLE, begins_s=1.7e9, ends_s=4e9))
        late = dataclasses.replace(acting("owner"), confirmed=False)

        async def ask(method, path, body, actor=late):
            content = json.dumps(body).encode()
            return await visitor.app.host.routes.dispatch(Request(method, path, content=content, actor=actor))

        risky = (
            ("PUT", "/api/v1/tls/certificate", {"certificate": certificate, "key": key}),
            ("DELETE", "/api/v1/tls/certificate", {}),
            ("POST", "/api/v1/tls/renew", {"authority": True}),
        )
        before = keeper(visitor).authority.certificate, keeper(visitor).serving
        for method, path, body in risky:
            reply = await ask(method, path, body)
            assert (reply.status, reply.value["code"]) == (403, "confirm_password")
        assert (keeper(visitor).authority.certificate, keeper(visitor).serving) == before
        assert (await ask("POST", "/api/v1/tls/renew", {})).status == 200
        for method, path, body in risky:
            assert (await ask(method, path, body, acting("owner"))).status == 200
        page = await visitor.app.host.routes.dispatch(Request("GET", "/tls", actor=late))
        assert page.value.count('name="my_password"') == 1


async def test_the_page_uploads_refuses_and_goes_back(tmp_path):
    """As an administrator would, by its forms; a refused key is not in the page again."""
    async with visited(tmp_path) as visitor:
        from urllib.parse import urlencode

        from appliance.api.actor import acting
        from appliance.core.routes import Request

        async def form(path, **fields):
            request = Request(
                "POST", path, content=urlencode(fields).encode(), actor=acting("owner"),
                headers={"content-type": "application/x-www-form-urlencoded"},
            )  # fmt: skip
            return await visitor.app.host.routes.dispatch(request)

        certificate, key = texts(issue(by=MIDDLE, begins_s=1.7e9, ends_s=4e9))
        refused = await form("/tls/upload", certificate=certificate, key=plain_pem(LEAF[1]))
        assert refused.status == 422
        assert "belongs to another certificate" in refused.value
        assert "BEGIN CERTIFICATE" in refused.value
        assert "PRIVATE KEY-----\n" not in refused.value
        assert (await form("/tls/upload", certificate=certificate, key=key)).status == 303
        assert keeper(visitor).serving.source == "uploaded"
        assert (await form("/tls/reset")).status == 303
        assert keeper(visitor).serving.source == "local"
        before = keeper(visitor).authority.certificate
        assert (await form("/tls/renew", authority="yes")).status == 303
        assert keeper(visitor).authority.certificate != before
