"""Proofs over real sockets: the page fetched from the right and the wrong address, the record in a real name server."""

from __future__ import annotations

import asyncio

import aiohttp
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.actor import NOBODY
from appliance.core.http import answer
from appliance.core.routes import RouteTable
from appliance.testing import running
from appliance_members.verification import (
    Proof,
    digest_of,
    find_proof,
    lookup_txt,
    new_token,
    same_address,
)

STRICT = "[plugins.members.verify]\ntrusted_networks = []\ntrust_console = false\n"


async def test_only_the_members_own_address_can_redeem_its_token(tmp_path):
    async with running(["members"], STRICT, state_dir=tmp_path) as app:
        await app.until_running("members")
        told = await app.post("/api/v1/members", {"address": "127.0.0.61", "force": True})
        (row,) = told["created"]
        ticket = await app.post(f"/api/v1/members/{row['id']}/verify", {"method": "http"})
        table = app.host.services.get(RouteTable)

        async def serve(raw):
            return await answer(table, raw, actor=NOBODY)

        server = web.Application()
        server.router.add_route("*", "/{tail:.*}", serve)
        runner = web.AppRunner(server)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}{ticket['path']}"

        async def fetch(source: str) -> tuple[int, str]:
            connector = aiohttp.TCPConnector(local_addr=(source, 0))
            async with aiohttp.ClientSession(connector=connector) as http, http.get(url) as reply:
                return reply.status, await reply.text()

        try:
            status, text = await fetch("127.0.0.62")
            assert status == 403 and "127.0.0.62" in text and "127.0.0.61" in text
            assert (await app.get("/api/v1/members"))[0]["state"] == "unverified"
            status, text = await fetch("127.0.0.61")
            assert status == 200 and "is verified" in text
            assert (await app.get("/api/v1/members"))[0]["verified_by"] == "http"
            assert (await fetch("127.0.0.61"))[0] == 404
        finally:
            await runner.cleanup()


class _NameServer(asyncio.DatagramProtocol):
    """Answers TXT questions from a dict; anything else does not exist."""

    def __init__(self, texts: dict[str, list[str]]) -> None:
        self.texts = texts

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query, recursion_available=True)
        name = str(query.question[0].name).rstrip(".")
        if name == "broken.example":
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif name not in self.texts:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif self.texts[name]:
            quoted = [" ".join(f'"{part}"' for part in text.split("|")) for text in self.texts[name]]
            reply.answer.append(dns.rrset.from_text_list(query.question[0].name, 60, "IN", "TXT", quoted))
        self.transport.sendto(reply.to_wire(), addr)


async def test_txt_records_are_read_whole_and_missing_ones_are_none():
    texts = {"_timeball.a.example": ["v=spf1 -all", "half|other"], "_timeball.b.example": []}
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _NameServer(texts), local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    try:
        found = await lookup_txt("_timeball.a.example", nameserver="127.0.0.1", port=port)
        assert sorted(found) == ["halfother", "v=spf1 -all"]
        assert await lookup_txt("_timeball.b.example", nameserver="127.0.0.1", port=port) == []
        assert await lookup_txt("_timeball.c.example", nameserver="127.0.0.1", port=port) == []
        with pytest.raises(OSError, match=r"broken\.example"):
            await lookup_txt("broken.example", nameserver="127.0.0.1", port=port)
    finally:
        transport.close()
        await asyncio.sleep(0)


@given(st.binary(min_size=20, max_size=20), st.sampled_from(["http", "txt"]))
def test_a_token_finds_its_own_proof_before_it_expires_and_nothing_else(random, method):
    token = new_token(lambda n: random)
    assert len(token) == 32
    proof = Proof(digest_of(token), "m-1", method, 100.0)
    other = "txt" if method == "http" else "http"
    assert find_proof([proof], f" {token.upper()}\n", method, 99.0) is proof
    assert find_proof([proof], token, method, 100.0) is None
    assert find_proof([proof], token, other, 99.0) is None
    assert find_proof([proof], token[:-1], method, 99.0) is None
    assert find_proof([proof], "", method, 99.0) is None
    assert token not in repr(proof)


@given(st.ip_addresses())
def test_an_address_is_the_same_as_itself_mapped_or_not(address):
    text = str(getattr(address, "ipv4_mapped", None) or address)
    assert same_address(str(address), text)
    if address.version == 4:
        assert same_address(f"::ffff:{address}", text)
    assert not same_address("", text)
    assert not same_address("unix:", text)
