"""`python argon2.py`: one Argon2id hash (RFC 9106), made or compared in a process of its own.

The library takes nine megabytes, and would never leave the appliance's process again. So nothing of the appliance imports
this file, and this file imports nothing of the appliance: the process is there and gone in a tenth of a second.
"""

from __future__ import annotations

import json
import secrets
import sys

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id


def hashed(password: bytes, memory_kib: int, passes: int, lanes: int) -> str:
    """The password as it is kept: a PHC string with a salt of its own."""
    kdf = Argon2id(
        salt=secrets.token_bytes(16), length=32, iterations=passes, lanes=lanes, memory_cost=memory_kib
    )
    return kdf.derive_phc_encoded(password)


def matches(password: bytes, kept: str) -> bool:
    """Whether `kept` was made from `password`."""
    try:
        Argon2id.verify_phc_encoded(password, kept)
    except InvalidKey:
        return False
    return True


def main() -> None:
    """Standard input has the work as JSON, with the password in hexadecimal digits; standard output gets the result as JSON."""
    work = json.load(sys.stdin)
    password = bytes.fromhex(work.pop("password"))
    json.dump((matches if "kept" in work else hashed)(password, **work), sys.stdout)


if __name__ == "__main__":
    main()
