"""UPay: requests signed over their parameters and encrypted, answers and webhooks opened; jwcrypto is the other side."""

from __future__ import annotations

import json
import time
from typing import Any

from chancery import HttpRequest, HttpResponse, Verdict
from jwcrypto import jwe, jwk

from acts import MADE_THERE, WRAPPED, Act, Acts, Scene, expect
from counterpart import hmac_base64

PARTNER, KEY, SECRET = "upay", "upay-merchant", "upay-demo-secret-key"
PARAMETERS = {"name": "Bob", "holder": {"name": "Y", "city": "X"}, "note": "Grüße"}


def acts() -> Acts:
    """A request, an answer, a webhook, and the same webhook again."""
    return [
        Act("upay", "UPay: request, HMAC, then JWE", "upay-secret", WRAPPED, "hmac, jwcrypto", _request),
        Act("upay", "UPay: answer, opened", KEY, MADE_THERE, "jwcrypto", _answer),
        Act("upay", "UPay: webhook, twice", KEY, MADE_THERE, "hmac, jwcrypto", _webhook),
        Act("upay", "UPay: webhook, changed", KEY, MADE_THERE, "verdict", _forged),
    ]


def _request(scene: Scene) -> str:
    body = b'{"name":"Bob","amount":20.00,"holder":{"name":"Y","city":"X"}}'
    sent = scene.app.sign_http_request(
        PARTNER, HttpRequest("POST", "https://upay.example/api/v1/customer/add", (), body), scheme="upay-request-encrypted"
    ).request
    stamp, request_id = sent.header("X-UPA-TIMESTAMP"), sent.header("X-UPA-REQUESTID")
    # 20.00 stays as it was written; names inside objects are sorted too.
    parameters = 'amount=20.00&holder={"city":"X","name":"Y"}&name=Bob'
    text = f"POST|/api/v1/customer/add|{stamp}|{request_id}|{parameters}"
    expect(sent.header("X-UPA-SIGN") == hmac_base64("sha256", SECRET, text.encode()), "hmac computes another value")
    opened = _opened(json.loads(sent.body)["payload"], scene.counterparts["upay"].private_key.read_bytes())
    expect(opened == body, "jwcrypto finds another body in the JWE")
    return "same MAC; body opens to the same bytes"


def _answer(scene: Scene) -> str:
    signed = scene.app.sign_http_request(
        PARTNER, HttpRequest("POST", "https://upay.example/api/v1/customer/add", (), b"{}"), scheme="upay-request-encrypted"
    )
    payload = _sealed(scene, json.dumps(PARAMETERS).encode())
    headers = (("X-UPA-REQUESTID", signed.values["request_id"]), ("X-UPA-TIMESTAMP", str(_now())))
    answer = HttpResponse(200, headers, json.dumps({"code": 1, "data": {"payload": payload}}).encode())
    found = scene.app.verify_http_response(PARTNER, answer, request_values=signed.values, scheme="upay-response")
    expect(found.verdict is Verdict.UNSIGNED, f"{found.verdict}: {found.message}")
    expect(json.loads(found.decrypted) == PARAMETERS, "something else was in it")
    other = scene.app.verify_http_response(
        PARTNER, answer, request_values={"request_id": "another"}, scheme="upay-response"
    )
    expect(other.verdict is Verdict.OTHER_REQUEST, f"for another request id: {other.verdict}")
    return "opened; for another request: OTHER_REQUEST"


def _webhook(scene: Scene) -> str:
    message = _callback(scene)
    first = scene.app.verify_callback(PARTNER, message, scheme="upay-webhook")
    expect(bool(first), f"{first.verdict}: {first.message}")
    expect(json.loads(first.decrypted)["orderNo"] == "o-1", "another order")
    acknowledgement = first.acknowledgement
    expect(acknowledgement is not None and acknowledgement.body == b"SUCCESS", f"the answer is {acknowledgement}")
    second = scene.app.verify_callback(PARTNER, message, scheme="upay-webhook")
    expect(second.verdict is Verdict.DUPLICATE, f"the second time: {second.verdict}")
    return "VALID, answer SUCCESS; then DUPLICATE"


def _forged(scene: Scene) -> str:
    message = _callback(scene, secret="not-the-secret")
    found = scene.app.verify_callback(PARTNER, message, scheme="upay-webhook")
    expect(found.verdict is Verdict.INVALID and not found.decrypted, f"{found.verdict}: {found.message}")
    return f"INVALID: {found.reason}; nothing given out"


def _callback(scene: Scene, secret: str = SECRET) -> HttpRequest:
    stamp = str(_now())
    event = {"event": "CC_CONSUME", "trace": stamp, "orderNo": "o-1", "timestamp": stamp, "detail": "{}"}
    body = _sealed(scene, json.dumps(event).encode())
    sign = hmac_base64("sha256", secret, f"CC_CONSUME|{stamp}|{body}".encode())
    return HttpRequest("POST", "/upay/webhook", (("X-UPA-TIMESTAMP", stamp), ("X-UPA-SIGN", sign)), body.encode())


def _sealed(scene: Scene, plaintext: bytes) -> str:
    recipient = jwk.JWK.from_pem(scene.app.get_public_key(KEY).pem.encode())
    header = {"alg": "RSA-OAEP-256", "enc": "A128GCM", "typ": "JOSE", "zip": "DEF"}
    made: Any = jwe.JWE(plaintext, json.dumps(header), recipient=recipient)
    return str(made.serialize(compact=True))


def _opened(token: str, private_key: bytes) -> bytes:
    opened: Any = jwe.JWE()
    opened.deserialize(token, jwk.JWK.from_pem(private_key))
    return bytes(opened.payload)


def _now() -> int:
    return int(time.time() * 1000)
