"""The setup code: proof that whoever claims the box can see its screen, read its log, or hold its card."""

from __future__ import annotations

import hmac
import secrets
from collections import deque

from appliance_people.passwords import UNAMBIGUOUS

LETTERS = 8  # of 32: 40 bits
ROTATE_S = 600.0
TRIES, WINDOW_S = 5, 60.0
#: 26 letters of 32: 130 bits, for a file on the card that may be read whenever.
LONG_LETTERS = 26


class SetupCode:
    """The code of now. It changes by itself; all times are monotonic seconds."""

    def __init__(self) -> None:
        self._code = ""
        self._made_s = 0.0
        self._tries: deque[float] = deque(maxlen=TRIES)

    def current(self, now_s: float) -> tuple[str, float]:
        """The code and the seconds that it is still good for."""
        if not self._code or now_s - self._made_s >= ROTATE_S:
            self._code, self._made_s = _drawn(LETTERS), now_s
        return self._code, ROTATE_S - (now_s - self._made_s)

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next try is looked at, whoever makes it."""
        if len(self._tries) < TRIES:
            return 0.0
        return max(0.0, WINDOW_S - (now_s - self._tries[0]))

    def tried(self, typed: str, now_s: float) -> bool:
        """Whether `typed` is the code. Each call is a try: ask `wait_s` before."""
        self._tries.append(now_s)
        code, _ = self.current(now_s)
        return hmac.compare_digest(code, normal(typed))

    def use_up(self) -> None:
        """The code was used, or must not be any more: the next one is another."""
        self._code = ""


def long_code() -> str:
    """A code that stays good until it is used."""
    return _drawn(LONG_LETTERS)


def normal(typed: str) -> str:
    """As drawn, whatever case and separators it was typed with; "" for what no code can be."""
    text = "".join(c for c in typed.upper() if c not in " -_.\t\r\n")[:64]
    return text if text.isascii() else ""


def spelled(code: str) -> str:
    """In groups of four, as people read it."""
    return "-".join(code[i : i + 4] for i in range(0, len(code), 4))


def _drawn(letters: int) -> str:
    return "".join(secrets.choice(UNAMBIGUOUS) for _ in range(letters))
