"""The one place that joins services to adapters: a hub from its settings."""

from tweeling.bootstrap.audited import Audited, audited
from tweeling.bootstrap.backup import make_backup
from tweeling.bootstrap.certificates import shown_certificates
from tweeling.bootstrap.hub import Hub, hub
from tweeling.bootstrap.migration import migrate, migration
from tweeling.bootstrap.quarantine import is_running, quarantine_alone
from tweeling.bootstrap.readings import Stores, Telemetry, broker_address, clock_of, stores, telemetry
from tweeling.bootstrap.records import take_records
from tweeling.bootstrap.restore import known, restore, verify_backup
from tweeling.bootstrap.threads import Threads

__all__ = [
    "Audited",
    "Hub",
    "Stores",
    "Telemetry",
    "Threads",
    "audited",
    "broker_address",
    "clock_of",
    "hub",
    "is_running",
    "known",
    "make_backup",
    "migrate",
    "migration",
    "quarantine_alone",
    "restore",
    "shown_certificates",
    "stores",
    "take_records",
    "telemetry",
    "verify_backup",
]
