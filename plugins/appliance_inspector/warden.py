"""Keeps the child: starts it, speaks with it, ends it when it hangs or talks nonsense. It parses nothing that packets say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from appliance_inspector.judging.frames import FILE, LENGTH, MOST_OUT_BYTES, PACKETS, RULES, Packet, pack
from appliance_inspector.rules import Rule
from appliance_inspector.verdicts import FileVerdict, Hello, RulesTaken, Verdict

CHILD = Path(__file__).with_name("judging")
#: scapy takes its time on a small machine that is busy.
START_S = 60.0
T = TypeVar("T", bound=BaseModel)


class ChildGone(Exception):
    """The child died, hung, or said what it may not say; `str` tells which."""


class Warden:
    """One child. After `ChildGone` it is no more; make a new one.

    Attributes:
        hello: what it said first.
        last: its latest verdict.
    """

    def __init__(self, log: logging.Logger, *, patience_s: float = 10.0, scapy: bool = True) -> None:
        self.hello: Hello | None = None
        self.last: Verdict | None = None
        self._log, self._patience_s, self._scapy = log, patience_s, scapy
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def pid(self) -> int:
        """Of the child; 0 when there is none."""
        return self._process.pid if self._process else 0

    async def start(self, rules: Sequence[Rule]) -> None:
        """Start it and hand it the rules.

        Raises:
            ChildGone, OSError: it does not start.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                # Not in a thread: who is cancelled while he waits for one would leave the child behind.
                self._process = self._spawn(theirs)
            except BaseException:
                ours.close()
                raise
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=MOST_OUT_BYTES)
        self.hello = await self._heard(Hello, START_S)
        await self.hand_rules(rules)

    async def hand_rules(self, rules: Sequence[Rule]) -> None:
        """Let it begin anew with these: nothing that it counted, and no file that it read, is remembered.

        Raises:
            ChildGone: it does not answer.
        """
        body = json.dumps([rule.compiled() for rule in rules]).encode()
        await self._say(RULES, body)
        await self._heard(RulesTaken, self._patience_s)

    def _spawn(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        # Its own interpreter, isolated: no environment, no descriptor but the socket.
        command = [sys.executable, "-I", str(CHILD), *([] if self._scapy else ["--without-scapy"])]
        return subprocess.Popen(  # noqa: S603 - our own interpreter and our own folder
            command, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.DEVNULL, env={"LANG": "C.UTF-8"}, cwd="/",
            close_fds=True, start_new_session=True,
        )  # fmt: skip

    async def judge(self, packets: Sequence[Packet]) -> Verdict:
        """What the child makes of them.

        Raises:
            ChildGone: it does not answer.
        """
        await self._say(PACKETS, pack(packets))
        verdict = await self._heard(Verdict, self._patience_s)
        if verdict.packets != len(packets):
            raise ChildGone(f"it judged {verdict.packets} packets of {len(packets)}")
        self.last = verdict
        return verdict

    async def read(self, piece: bytes) -> FileVerdict:
        """What the child makes of the next piece of a capture file; an empty one ends it.

        Raises:
            ChildGone: it does not answer.
        """
        await self._say(FILE, piece)
        return await self._heard(FileVerdict, self._patience_s)

    async def _say(self, kind: int, body: bytes) -> None:
        assert self._writer is not None
        try:
            self._writer.write(LENGTH.pack(len(body), kind) + body)
            async with asyncio.timeout(self._patience_s):
                await self._writer.drain()
        except TimeoutError:
            raise ChildGone(f"it did not take its packets within {self._patience_s:g} s") from None
        except OSError:
            raise ChildGone(await self._obituary()) from None

    async def _heard(self, kind: type[T], patience_s: float) -> T:
        assert self._reader is not None
        try:
            async with asyncio.timeout(patience_s):
                length, _ = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
                if length > MOST_OUT_BYTES:
                    raise ChildGone(f"it wanted to say {length:,} bytes")
                body = await self._reader.readexactly(length)
            return kind.model_validate_json(body)
        except TimeoutError:
            raise ChildGone(f"it did not answer within {patience_s:g} s") from None
        except (OSError, asyncio.IncompleteReadError):
            raise ChildGone(await self._obituary()) from None
        except ValidationError as error:
            raise ChildGone(f"it said what it may not say ({error.error_count()} mistakes)") from None

    async def _obituary(self) -> str:
        code = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = await asyncio.to_thread(self._process.wait, 1.0)
        if code is None:
            return "it closed its socket"
        return f"it was ended by signal {-code}" if code < 0 else f"it ended with exit code {code}"

    async def close(self) -> None:
        """End the child, whatever it does; returns when it is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()  # a moment: nothing holds up this signal, and nobody may cancel us in between
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None
