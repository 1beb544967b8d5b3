"""A registry of partners' keys in memory, for tests. It judges as the contract does."""

from __future__ import annotations

from collections.abc import Sequence

from tweeling.domain.partner_keys import PartnerKey, Role
from tweeling.errors import InvariantError, RejectedError, UnavailableError


class MemoryPartnerDirectory:
    """One directory, for as long as the process lasts. Every change mines a block, as on a development chain."""

    def __init__(self) -> None:
        """Begin without partners."""
        self.height = 0
        self._partners: dict[bytes, dict[bytes, PartnerKey]] = {}

    def mine(self, blocks: int = 1) -> None:
        """Let blocks pass."""
        self.height += blocks

    def is_valid(self, partner: bytes, key_id: bytes, role: Role, *, block: int) -> bool:
        """Whether a key may sign for a partner in a role, as of a block that is there."""
        if not role:
            raise InvariantError("a key is asked for in a role", field="role")
        if block > self.height:
            raise UnavailableError(f"block {block} is not there yet; the newest is {self.height}")
        key = self._partners.get(partner, {}).get(key_id)
        return key is not None and key.is_valid(role, block=block)

    def keys(self, partner: bytes) -> Sequence[PartnerKey]:
        """Every key that the partner ever had, in the order in which they were added."""
        return tuple(self._partners.get(partner, {}).values())

    def admit(self, partner: bytes, controller: str) -> None:
        """Let a partner in; here nobody asks who calls."""
        if partner in self._partners:
            raise RejectedError("the partner is in the directory already")
        if not int(controller, 16):
            raise RejectedError("somebody must control a partner")
        self.mine()
        self._partners[partner] = {}

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
        """Add a key, valid from the next block or a later one."""
        new = PartnerKey(algorithm, public_key, roles, max(first, self.height + 2), until)
        keys, name = self._keys(partner), new.key_id
        if not roles:
            raise InvariantError("a key has a role at least", field="roles")
        if until is not None and until <= new.first:
            raise RejectedError(f"the key would never be valid: from block {new.first} until {until}")
        if name in keys:
            raise RejectedError("the partner has, or had, this key")
        self.mine()
        keys[name] = new
        return new

    def revoke_key(self, partner: bytes, key_id: bytes, *, first: int = 0) -> int:
        """End a key from the next block or a later one."""
        keys = self._keys(partner)
        if (key := keys.get(key_id)) is None:
            raise RejectedError("the partner never had this key")
        end = max(first, self.height + 2)
        if key.until is not None and end >= key.until:
            raise RejectedError(f"the key ends at block {key.until}, which is not after {end}")
        self.mine()
        keys[key_id] = key._replace(until=end)
        return end

    def _keys(self, partner: bytes) -> dict[bytes, PartnerKey]:
        if partner not in self._partners:
            raise RejectedError("the directory has no such partner")
        return self._partners[partner]
