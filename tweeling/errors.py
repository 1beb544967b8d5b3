"""Every error of Tweeling, classed by what its catcher does next.

* TweelingError
    + ConfigError         the operator must change something      exit 2, name the setting
    + WireError           a message that cannot be trusted to mean anything     quarantine, never retry
    + InvariantError      well-formed, yet impossible             refuse, tell the caller, keep the evidence
    + UnavailableError    the other side did not answer           retry with backoff, log once down, once up
    + LedgerError         that, of a chain: which trouble it is   likewise, and not before it may be asked again
    + RefusedError        both of these: a server says no until a setting is mended     a hub retries, a command exits 2
    + RejectedError       the other side answered no              do not retry
    + VerificationError   evidence does not agree with the record alarm, exit 3, never caught to continue
    + UndecidedError      evidence is consistent, but not enough  exit 4, say what is missing
"""

from __future__ import annotations

from enum import StrEnum


class Trouble(StrEnum):
    """What keeps a ledger from taking anchors, in a word."""

    DOWN = "down"  # nobody answers there
    SLOW = "slow"  # no whole answer in time
    NONSENSE = "nonsense"  # what answers is no node of a chain
    BUSY = "busy"  # it wants to be asked less often
    REFUSED = "refused"  # node or contract says no
    BEHIND = "behind"  # the node has not seen blocks that we know of
    STUCK = "stuck"  # a transaction is sent and not mined
    FEE = "fee"  # gas costs more than we may pay
    FUNDS = "funds"  # the account cannot pay
    CHAIN = "chain"  # it is another chain
    CONTRACT = "contract"  # other code, or none, is at the address
    OPERATOR = "operator"  # another account writes this log
    RETIRED = "retired"  # the log goes on in another contract
    HISTORY = "history"  # the chain holds another history


class TweelingError(Exception):
    """Anything Tweeling itself raises."""

    exit_code = 1


class ConfigError(TweelingError):
    """A setting is wrong; `field` names it and `remedy` says what it should be."""

    exit_code = 2

    def __init__(self, message: str, *, field: str = "", remedy: str = "", source: str = "") -> None:
        where = ": ".join(part for part in (source, field) if part)
        text = f"{where}: {message}" if where else message
        super().__init__(f"{text}. {remedy}" if remedy else text)
        self.field = field
        self.remedy = remedy
        self.source = source


class WireError(TweelingError):
    """A message that cannot be trusted to mean anything: quarantine it with this reason."""


class InvariantError(TweelingError):
    """Well-formed, yet impossible; `field` names the part that cannot be."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


class UnavailableError(TweelingError):
    """The other side did not answer. The outcome is unknown; asking again must be harmless."""


class LedgerError(UnavailableError):
    """A chain does not serve us now; `trouble` says in a word why, `retry_after_s` how long it wants to be left alone.

    remedy: what a person may do, empty where it is waiting.
    """

    def __init__(self, message: str, *, trouble: Trouble, remedy: str = "", retry_after_s: float = 0) -> None:
        super().__init__(f"{message}. {remedy}" if remedy else message)
        self.trouble = trouble
        self.retry_after_s = retry_after_s


class RefusedError(ConfigError, UnavailableError):
    """A server will not answer us until somebody mends a setting: a running hub asks again, a command exits with 2."""


class RejectedError(TweelingError):
    """The other side answered no; asking again changes nothing."""


class AlreadyCapturedError(RejectedError):
    """The log has exactly this event already, as entry `index`."""

    def __init__(self, event_id: str, index: int) -> None:
        super().__init__(f"captured already, as entry {index}: {event_id}")
        self.event_id = event_id
        self.index = index


class VerificationError(TweelingError):
    """Evidence does not agree with the record; `field` names what is wrong."""

    exit_code = 3

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(f"{field}: {message}")
        self.message = message
        self.field = field


class UndecidedError(TweelingError):
    """Evidence agrees with itself, but what is at hand cannot decide; the message says what is missing."""

    exit_code = 4
