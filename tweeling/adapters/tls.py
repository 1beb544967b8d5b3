"""Who is believed over TLS, and what a server shows; 1.2 is the least that is spoken."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from tweeling.errors import ConfigError

_END = "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How a server proves itself to us; paths, so that it can travel to another process and follows a renewal.

    pinned_file: exactly this certificate, under whatever name; for a server of this machine whose file we can read.
    ca_file: any certificate that it signed, for the name we called; without both, the machine's authorities.
    cert_file and key_file: what we show where we are asked.
    """

    pinned_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Read the files as they are now; raises OSError, of which ssl.SSLError is one."""
        if self.pinned_file is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False  # it is this very certificate, whatever names stand in it
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.load_verify_locations(cadata=_first(self.pinned_file))
        else:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def check(self, *, field: str) -> None:
        """Raise ConfigError when the files cannot be used."""
        try:
            self.context()
        except OSError as exc:
            raise _unusable(exc, field, *filter(None, (self.pinned_file, self.ca_file, self.cert_file))) from exc


def serving(cert_file: Path, key_file: Path, *, field: str) -> ssl.SSLContext:
    """What a server shows, or ConfigError; `load_cert_chain` again renews it while it serves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert_file, key_file)
    except OSError as exc:
        raise _unusable(exc, field, cert_file, key_file) from exc
    return context


def _first(path: Path) -> str:
    """The first certificate of a file: those after it are its authorities, and many others' too."""
    head, end, _ = path.read_text(encoding="ascii", errors="replace").partition(_END)
    return head + end


def _unusable(exc: OSError, field: str, *paths: Path) -> ConfigError:
    missing = [path for path in paths if not path.exists()]
    return ConfigError(
        "no such file" if missing else f"cannot be used: {exc.strerror or exc}",
        field=field,
        source=", ".join(str(path) for path in missing or paths),
        remedy="It should name a certificate and its key as PEM; `tweeling certificate renew` makes them anew",
    )
