"""PostgreSQL as record store: readers see one moment, at most one hub writes, and what leaves the machine is TLS."""

from __future__ import annotations

import logging
import ssl
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc
from sqlalchemy.pool import ConnectionPoolEntry

from tweeling.domain.hosts import is_loopback
from tweeling.errors import ConfigError, UnavailableError

_DRIVER = "postgresql+pg8000"
_NAMES = frozenset({"postgres", "postgresql", _DRIVER})
_QUERY = frozenset({"sslrootcert", "unix_sock"})
_ANSWER_S = 60  # a server that says nothing for so long does not answer
_CLAIM = 0x54574545_4C494E47  # "TWEELING"
_CLAIM_WAIT = "3s"  # the session of a hub that was killed is gone by then
_SESSION = (
    "synchronous_commit = on",
    # So the server notices within half a minute that a line is cut, and lets go of the claim.
    "tcp_keepalives_idle = 10",
    "tcp_keepalives_interval = 5",
    "tcp_keepalives_count = 3",
    "tcp_user_timeout = '25s'",
)
_HELD = "55P03"
_MET = "tweeling.met"
_GONE = ("08", "57P")  # connection exception; operator intervention
_WRONG = ("28", "3D", "42501")  # not let in; no such database; no right to it


def writer(url: sa.URL) -> sa.Engine:
    """One connection that writes, and holds the database's only claim while it is open.

    Whoever waits for it longer than 3 s is refused: UnavailableError. A server that has restarted is claimed anew.
    """
    engine = _engine(url, pool_size=1, max_overflow=0)

    @sa.event.listens_for(engine, "connect")
    def _claim(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        try:
            cursor.execute(f"SET LOCAL lock_timeout = '{_CLAIM_WAIT}'")
            cursor.execute(f"SELECT pg_advisory_lock({_CLAIM})")  # the session's, whatever becomes of the transaction
            for setting in _SESSION:
                cursor.execute(f"SET SESSION {setting}")
            connection.commit()
        except Exception as exc:
            connection.close()
            if code(exc) == _HELD:
                raise HeldError from exc
            raise

    return engine


def reader(url: sa.URL) -> sa.Engine:
    """Connections that read, each transaction all at one moment."""
    engine = _engine(url, max_overflow=15)

    @sa.event.listens_for(engine, "connect")
    def _only_read(connection: Any, _record: object) -> None:
        how = "ISOLATION LEVEL REPEATABLE READ READ ONLY"
        connection.cursor().execute(f"SET SESSION CHARACTERISTICS AS TRANSACTION {how}")
        connection.commit()

    return engine


class HeldError(UnavailableError):
    """Another hub has the database, or the server has not yet noticed that an earlier connection of ours is gone."""

    def __init__(self) -> None:
        super().__init__(
            "records: another hub writes to this database, which has to be stopped first, "
            "or a migration or an import, which ends soon"
        )


def code(exc: BaseException | None) -> str:
    """The SQLSTATE of a driver's error, empty where it has none."""
    told = exc.args[0] if exc is not None and exc.args else None
    return str(told.get("C", "")) if isinstance(told, dict) else ""


def text(exc: BaseException) -> str:
    """What the server said, in one line."""
    told = exc.args[0] if exc.args else None
    said = told.get("M") if isinstance(told, dict) else str(exc)
    because = f" ({exc.__cause__})" if exc.__cause__ is not None else ""
    return f"{said or type(exc).__name__}{because}"


def is_wrong(exc: BaseException) -> bool:
    """Whether the operator must change something: the server has heard us, and does not let us in."""
    return code(exc).startswith(_WRONG)


def _engine(url: sa.URL, **options: Any) -> sa.Engine:
    if url.drivername not in _NAMES:
        raise ConfigError(f"no driver for {url.drivername}", field="records", remedy=f"Write {_DRIVER}://…")
    if unknown := sorted(url.query.keys() - _QUERY):
        raise ConfigError(
            f"unknown parameter {unknown[0]!r} of the URL",
            field="records",
            remedy=f"Known: {', '.join(sorted(_QUERY))}",
        )
    given: dict[str, Any] = {"timeout": _ANSWER_S, "application_name": "tweeling"}
    if (tls := tls_of(url)) is not None:
        given["ssl_context"] = tls
    try:
        engine = sa.create_engine(
            url.set(drivername=_DRIVER).difference_update_query(["sslrootcert"]),
            hide_parameters=True,
            connect_args=given,
            **options,
        )
    except ModuleNotFoundError as exc:
        raise ConfigError(
            f"the driver {exc.name} is not installed", field="records", remedy="pip install 'tweeling[postgres]'"
        ) from exc
    sa.event.listen(engine, "handle_error", _notice)
    sa.event.listen(engine, "checkout", partial(_greet, (engine.dialect.loaded_dbapi.Error, OSError)))
    # How a connection that is dead was buried is no news; that the database does not answer is told by whoever asked.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    return engine


def tls_of(url: sa.URL) -> ssl.SSLContext | None:
    """How the server has to prove itself; None where the line stays on this machine and no `sslrootcert` is given."""
    root = url.query.get("sslrootcert")
    if root is None and ("unix_sock" in url.query or is_loopback(url.host or "localhost")):
        return None
    try:
        return ssl.create_default_context(cafile=root if isinstance(root, str) else None)
    except OSError as exc:  # also what OpenSSL says of a file that holds no certificate
        raise ConfigError(
            f"sslrootcert: {exc.strerror or exc}", field="records", remedy="Name a PEM file of the server's authority"
        ) from exc


def _notice(context: sa.ExceptionContext) -> None:
    """Tell the pool of the endings that the dialect does not know: its connection is of no use any more."""
    cause = context.original_exception
    if isinstance(cause, OSError) or code(cause).startswith(_GONE):
        context.is_disconnect = True


def _greet(broken: tuple[type[Exception], ...], connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Ask a connection of the pool whether it still is one; SQLAlchemy's own way lets the driver's OSError through."""
    if not record.info.get(_MET):  # it has just been opened
        record.info[_MET] = True
        return
    try:
        connection.cursor().execute(";")
    except broken as exc:
        raise sa_exc.DisconnectionError(text(exc)) from exc
