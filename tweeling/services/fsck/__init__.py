"""The auditor: re-derives ranges, totals, points and roots from what is kept, and compares.

It reads rows, not what the hub makes of them, and decodes envelopes by the reference, not by the hub's hot path.
"""

from tweeling.services.fsck.report import Check, Disagreement
from tweeling.services.fsck.run import audit

__all__ = ["Check", "Disagreement", "audit"]
