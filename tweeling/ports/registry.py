"""The registry of partners' signing keys, judged by blocks and not by clocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tweeling.domain.partner_keys import PartnerKey, Role


class PartnerKeys(Protocol):
    """The keys of one directory's partners, by `partner_id`. Raises UnavailableError: ask again."""

    def is_valid(self, partner: bytes, key_id: bytes, role: Role, *, block: int) -> bool:
        """Whether a key may sign for a partner in a role, as of a block; an answer never changes.

        Raises UnavailableError for a block that is not there yet.
        """
        ...

    def keys(self, partner: bytes) -> Sequence[PartnerKey]:
        """Every key that the partner ever had, in the order in which they were added."""
        ...


class PartnerDirectory(PartnerKeys, Protocol):
    """The same directory for who keeps it. Changes hold from the next block on; RejectedError where one may not be."""

    def admit(self, partner: bytes, controller: str) -> None:
        """Let a partner in; `controller` is the account that adds and revokes its keys."""
        ...

    def add_key(
        self,
        partner: bytes,
        algorithm: str,
        public_key: bytes,
        roles: Role,
        *,
        first: int = 0,
        until: int | None = None,
    ) -> PartnerKey:
        """Add a key, valid from the next block or a later one; the answer tells which."""
        ...

    def revoke_key(self, partner: bytes, key_id: bytes, *, first: int = 0) -> int:
        """End a key from the next block or a later one; the answer is the first block without it."""
        ...
