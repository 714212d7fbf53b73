"""Open proofs: tokens are given out, and taken back from where they must come from."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from appliance.api.errors import Conflict, NotFound, Refused
from appliance.api.model import Member
from appliance.api.services import Store
from appliance_members import keeping
from appliance_members.naming import HostLookup
from appliance_members.roster import Roster
from appliance_members.verification import (
    Method,
    Proof,
    TxtLookup,
    digest_of,
    find_proof,
    lookup_txt,
    new_token,
    same_address,
    txt_owner,
)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A token for the person who asked, the only time it is seen."""

    member: Member
    method: Method
    token: str
    expires_at: float

    def as_json(self) -> dict[str, Any]:
        where = (
            {"path": f"/verify/{self.token}"}
            if self.method == "http"
            else {"owner": txt_owner(self.member.name)}
        )
        return {
            "member": self.member.id, "method": self.method, "token": self.token, "expires_at": self.expires_at,
            "instructions": self._instructions(), **where,
        }  # fmt: skip

    def _instructions(self) -> str:
        if self.method == "http":
            return (
                f"On {self.member.address} itself, fetch the path /verify/{self.token} from this appliance's web address, "
                f"for example: curl http://THIS-APPLIANCE/verify/{self.token}"
            )
        return f'Publish {txt_owner(self.member.name)} TXT "{self.token}", then ask for the same proof again.'


class Proofs:
    """Verification by token.

    Tokens are looked up in memory, so that strangers who try the public page never make the database work.
    """

    def __init__(
        self,
        roster: Roster,
        store: Store,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        lookup: TxtLookup = lookup_txt,
    ) -> None:
        self._roster = roster
        self._store = store
        self._random_bytes = random_bytes
        self._lookup = lookup
        self._open: dict[str, Proof] = {}

    async def load(self) -> None:
        """Take over what the database keeps.

        Raises:
            StoreError: it cannot be read now.
        """
        self._open = {p.digest: p for p in await self._store.read(keeping.load_proofs)}

    def pending(self, member: str, method: Method) -> Proof | None:
        """The proof that is open for a member, if its token is still good."""
        now = self._roster.now()
        return next(
            (
                p
                for p in self._open.values()
                if p.member == member and p.method == method and now < p.expires_at
            ),
            None,
        )

    async def issue(self, key: str, method: Method, valid_s: float) -> Ticket:
        """A new token for a member; an older one for the same purpose is void.

        Raises:
            NotFound, Conflict (verified already, or no name to look for), StoreError.
        """
        member = self._unverified(key)
        if method == "txt" and not member.name:
            raise Conflict(
                f"{member.address} has no host name, so there is no place for a TXT record; set its name first"
            )
        token = new_token(self._random_bytes)
        proof = Proof(digest_of(token), member.id, method, self._roster.now() + valid_s)
        await self._store.write(lambda db: keeping.save_proof(db, proof))
        self._open = {
            d: p for d, p in self._open.items() if (p.member, p.method) != (proof.member, proof.method)
        } | {proof.digest: proof}
        return Ticket(member, method, token, proof.expires_at)

    async def redeem(self, token: str, remote: str) -> Member:
        """Somebody at address `remote` fetched the page of `token`.

        Raises:
            NotFound: no such token, or it has expired.
            Refused: it was fetched from another address than the member's.
            StoreError: the success could not be kept; the token stays good.
        """
        proof = find_proof(self._open.values(), token, "http", self._roster.now())
        if proof is None:
            raise NotFound("this token is not known, was used already, or has expired; ask for a new one")
        member = self._roster.find(proof.member)
        if not same_address(remote, member.address):
            raise Refused(
                f"this request comes from {remote or 'the local console'}; fetch the page from {member.address} itself"
            )
        return await self._accept(proof, "http")

    async def look_for_txt(self, key: str, addresses_of: HostLookup) -> Member:
        """Look for the open token in the DNS of the member's name.

        Args:
            key: whose.
            addresses_of: async; the addresses that a name has now. A name proves nothing about addresses it does not have.

        Raises:
            NotFound: no such member, or no token is open.
            Conflict: verified already.
            Refused: the record is missing or different, or the name points elsewhere.
        """
        member = self._unverified(key)
        proof = self.pending(member.id, "txt")
        if proof is None:
            raise NotFound(f"no TXT proof is open for {member.address}; ask for a token first")
        owner = txt_owner(member.name)
        try:
            texts, addresses = await self._lookup(owner), await addresses_of(member.name)
        except OSError as error:
            raise Refused(str(error)) from None
        if member.address not in addresses:
            raise Refused(f"{member.name} does not point to {member.address} but to {', '.join(addresses)}")
        if not any(digest_of(text) == proof.digest for text in texts[:50]):
            seen = (
                f"found only {', '.join(repr(t[:80]) for t in texts[:5])}" if texts else "found no TXT record"
            )
            raise Refused(
                f"{owner}: {seen}; publish the token and allow the old answer to expire from caches"
            )
        return await self._accept(proof, "txt")

    async def _accept(self, proof: Proof, by: str) -> Member:
        await self._roster.apply(
            lambda registry: registry.verify(proof.member, by),
            with_rows=lambda db: keeping.drop_proofs(db, [proof.digest]),
        )
        self._open.pop(proof.digest, None)
        return self._roster.find(proof.member)

    async def purge(self) -> None:
        """Forget what has expired or belongs to a member that is gone.

        Raises:
            StoreError: not now.
        """
        now, members = self._roster.now(), self._roster.registry.entries
        over = [d for d, p in self._open.items() if now >= p.expires_at or p.member not in members]
        if over:
            await self._store.write(lambda db: keeping.drop_proofs(db, over))
            for digest in over:
                self._open.pop(digest, None)

    def _unverified(self, key: str) -> Member:
        member = self._roster.find(key)
        if member.verified_by:
            raise Conflict(f"{member.address} is verified already (by {member.verified_by})")
        return member
