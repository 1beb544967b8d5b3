"""Custody events in, receipts out."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from tweeling.api.access import Capturer, Reader
from tweeling.api.models import CapturedEvent
from tweeling.api.principals import Principal
from tweeling.api.problems import Problem
from tweeling.errors import InvariantError
from tweeling.ports.custody_api import CustodyApi, DetachedSignature

_MEDIA = frozenset({"application/json", "application/ld+json"})
_SIGNATURE = re.compile(r'keyid="([^"\\]{1,200})", ?alg="([a-z0-9-]{1,30})", ?sig="([A-Za-z0-9+/]{1,1000}={0,2})"')
_FORM = 'keyid="…", alg="ed25519", sig="base64"'
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object", "description": "one EPCIS 2.0 event"}}},
    }
}


def router(custody: CustodyApi) -> APIRouter:
    """POST /events and GET /custody/{event}/receipt."""
    routes = APIRouter(tags=["custody"])

    @routes.post("/events", status_code=201, openapi_extra=_BODY)
    async def capture(
        request: Request,
        response: Response,
        principal: Annotated[Principal, Capturer],
        tweeling_signature: Annotated[str | None, Header(max_length=2000)] = None,
    ) -> CapturedEvent:
        """Capture one EPCIS event; 409 when the log has it already."""
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media not in _MEDIA:
            raise Problem(415, "send JSON", field="Content-Type")
        signature = None if tweeling_signature is None else _signature(tweeling_signature)
        body = await request.body()
        captured = await run_in_threadpool(custody.capture, body, token_id=principal.name, signature=signature)
        receipt = f"/custody/{quote(captured.event_id, safe='')}/receipt"
        response.headers["Location"] = receipt
        return CapturedEvent(event_id=captured.event_id, index=captured.index, receipt=receipt)

    # A receipt holds the whole event, so who only brings events reads none: not even of others' events.
    # An event's id is a URI and may hold slashes.
    @routes.get("/custody/{event_id:path}/receipt", dependencies=[Reader], response_class=Response)
    def receipt(event_id: str) -> Response:
        """The receipt of an event, application/cbor, for a session or a query token; a capture token reads none."""
        try:
            content = custody.receipt(event_id)
        except InvariantError as exc:
            raise Problem(404, "no such event", str(exc), field="event_id") from exc
        return Response(content, media_type="application/cbor")

    return routes


def _signature(text: str) -> DetachedSignature:
    match = _SIGNATURE.fullmatch(text)
    if match is None:
        raise Problem(400, "not understood", f"should be {_FORM}", field="Tweeling-Signature")
    key_id, algorithm, encoded = match.groups()
    try:
        return DetachedSignature(key_id, algorithm, base64.b64decode(encoded, validate=True))
    except binascii.Error as exc:
        raise Problem(400, "not understood", "sig is not base64", field="Tweeling-Signature") from exc
