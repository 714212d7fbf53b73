"""The way to chronyd when packets get lost, come late or come from nobody: a scripted command port on loopback."""

from __future__ import annotations

import asyncio
import itertools
import struct

import pytest

from appliance_clock.chrony import Command
from appliance_clock.chrony_link import ChronyLink, ChronyUnreachable, Door


class Scripted(asyncio.DatagramProtocol):
    """Answers each request with what `script` returns for it: any number of packets."""

    def __init__(self, script):
        self.script = script
        self.requests = []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        command, attempt, sequence = struct.unpack_from("!HHI", data, 4)
        self.requests.append((command, attempt, sequence, len(data)))
        for packet in self.script(command, attempt, sequence):
            self.transport.sendto(packet, addr)


def reply(command, sequence, status=0, body=bytes(76)):
    return struct.pack("!BBHHHH6xI8x", 6, 2, 0, command, 5, status, sequence) + body


@pytest.fixture
async def command_port():
    transports = []

    async def start(script):
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(
            lambda: Scripted(script), local_addr=("127.0.0.1", 0)
        )
        transports.append(transport)
        numbers = itertools.count(1)
        door = Door(port=transport.get_extra_info("sockname")[1], socket_path="")
        link = ChronyLink(door, sequence=lambda: next(numbers), timeout_s=0.5)
        return link, protocol

    yield start
    for transport in transports:
        transport.close()


async def test_a_lost_reply_is_asked_for_again_with_the_same_sequence(command_port):
    link, port = await command_port(lambda c, attempt, s: [reply(c, s)] if attempt == 2 else [])
    assert (await link.ask(Command.TRACKING)).status == 0
    assert port.requests == [(33, attempt, 1, 104) for attempt in range(3)]
    link.close()


async def test_silence_ends_after_three_attempts(command_port):
    link, port = await command_port(lambda c, a, s: [])
    with pytest.raises(ChronyUnreachable, match=r"silent for 1\.5 s"):
        await link.ask(Command.TRACKING)
    assert len(port.requests) == 3


async def test_packets_that_belong_to_nobody_are_passed_over(command_port):
    """Noise, a reply to an older question and one to another command all come first; the right one still counts."""
    link, _ = await command_port(
        lambda c, a, s: [b"", b"\xff" * 700, reply(c, s + 7), reply(34, s), reply(c, s, status=2)]
    )
    assert (await link.ask(Command.TRACKING)).status == 2
    link.close()


async def test_two_questions_at_once_each_get_their_own_reply(command_port):
    link, port = await command_port(lambda c, a, s: [reply(c, s)])
    first, second = await asyncio.gather(link.ask(Command.TRACKING), link.ask(Command.ACTIVITY))
    assert (first.command, second.command) == (33, 44)
    assert sorted({request[2] for request in port.requests}) == [1, 2]
    link.close()
