"""The offline verifier: a receipt and a trust file in, a verdict or the name of what is wrong out.

No network, no database, no ledger library. Whoever has an RPC at hand passes a function that reads the chain.
"""

from tweeling.verify.plain import plain
from tweeling.verify.receipt import Verdict, check_anchor, verify
from tweeling.verify.trust import TrustedContract, TrustedLog, TrustStore

__all__ = ["TrustStore", "TrustedContract", "TrustedLog", "Verdict", "check_anchor", "plain", "verify"]
