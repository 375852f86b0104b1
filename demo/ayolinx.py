"""Ayolinx, a SNAP BI bank: tokens by RSA, calls by HMAC-SHA512, callbacks, and the token endpoint that we host."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

from chancery import HttpRequest, Verdict

from acts import IMPORTED, MADE_THERE, THEIRS, WRAPPED, Act, Acts, Scene, expect
from counterpart import hmac_base64, rsa_is_right, sha256_hex
from published import AYOLINX_KEY

PARTNER, CLIENT_KEY, SECRET = "ayolinx", "demo-client-key", "ayolinx-demo-client-secret"


def acts() -> Acts:
    """Their token, a call, a notification, and a token of ours that a callback brings back."""
    return [
        Act("ayolinx", "Ayolinx: request for a token", AYOLINX_KEY, IMPORTED, "openssl", _token),
        Act("ayolinx", "Ayolinx: service call", "ayolinx-secret", WRAPPED, "hmac", _call),
        Act("ayolinx", "Ayolinx: notification", "-", THEIRS, "openssl", _notification),
        Act("ayolinx", "Ayolinx: our token endpoint", "ayolinx-tokens", MADE_THERE, "openssl, hmac", _endpoint),
    ]


def _token(scene: Scene) -> str:
    request = HttpRequest("POST", "https://ayolinx.example/v1.0/access-token/b2b", (), b'{"grantType":"client_credentials"}')
    sent = scene.app.sign_http_request(PARTNER, request, scheme="snap-token").request
    text = f"{CLIENT_KEY}|{sent.header('X-TIMESTAMP')}"
    public = scene.app.get_public_key(AYOLINX_KEY).pem
    expect(rsa_is_right(public, text.encode(), sent.header("X-SIGNATURE") or ""), "openssl says no")
    return "valid"


def _call(scene: Scene) -> str:
    body = b'{ "partnerReferenceNo": "a b",\r\n  "url": "https://x.example/\xc3\xa9" }'
    minified = b'{"partnerReferenceNo":"a b","url":"https://x.example/\xc3\xa9"}'
    request = HttpRequest("POST", "https://ayolinx.example/v1.0/qr/qr-mpm-generate", (), body)
    sent = scene.app.sign_http_request(
        PARTNER, request, scheme="snap-service", inputs={"access_token": "a-token"}
    ).request
    text = f"POST:/v1.0/qr/qr-mpm-generate:a-token:{sha256_hex(minified)}:{sent.header('X-TIMESTAMP')}"
    expect(sent.header("X-SIGNATURE") == hmac_base64("sha512", SECRET, text.encode()), "hmac computes another value")
    expect(sent.header("Authorization") == "Bearer a-token" and sent.body == body, "header or body is another")
    return "same bytes; body sent as it was"


def _notification(scene: Scene) -> str:
    stamp, body = _now(), b'{"status": "00"}'
    text = f'POST:/ayolinx/notify:{sha256_hex(b"" + body.replace(b" ", b""))}:{stamp}'
    headers = (("X-TIMESTAMP", stamp), ("X-SIGNATURE", scene.counterparts["ayolinx"].signature(text.encode())))
    found = scene.app.verify_callback(
        PARTNER, HttpRequest("POST", "/ayolinx/notify", headers, body), scheme="snap-notify"
    )
    expect(bool(found), f"{found.verdict}: {found.message}")
    late = scene.app.verify_callback(
        PARTNER,
        HttpRequest("POST", "/ayolinx/notify", _signed_at(scene, body, timedelta(hours=-1)), body),
        scheme="snap-notify",
    )
    expect(late.verdict is Verdict.STALE, f"an hour late: {late.verdict}")
    return "VALID; an hour old: STALE"


def _endpoint(scene: Scene) -> str:
    stamp = _now()
    signature = scene.counterparts["ayolinx"].signature(f"{CLIENT_KEY}|{stamp}".encode())
    headers = (("X-CLIENT-KEY", CLIENT_KEY), ("X-TIMESTAMP", stamp), ("X-SIGNATURE", signature))
    asked = HttpRequest("POST", "/v1.0/access-token/b2b", headers, b'{"grantType":"client_credentials"}')
    issued = scene.app.issue_access_token(PARTNER, asked, scheme="snap-token")
    expect(bool(issued.verification), f"{issued.verification.verdict}: {issued.verification.message}")
    answer = json.loads(issued.response.body)
    expect(answer["responseCode"] == "2007300", f"the answer is {answer}")
    good = _callback(scene, answer["accessToken"])
    expect(good.verdict is Verdict.VALID, f"with the token: {good.verdict}: {good.message}")
    bad = _callback(scene, answer["accessToken"][:-2] + "xx")
    expect(bad.verdict is Verdict.INVALID, f"with another token: {bad.verdict}")
    return "token issued; a call with it VALID, with another INVALID"


def _callback(scene: Scene, token: str):  # type: ignore[no-untyped-def]
    stamp, body = _now(), b'{"partnerServiceId":"088899"}'
    text = f"POST:/v1.0/transfer-va/inquiry:{token}:{sha256_hex(body)}:{stamp}"
    headers = (
        ("Authorization", f"Bearer {token}"),
        ("X-TIMESTAMP", stamp),
        ("X-SIGNATURE", hmac_base64("sha512", SECRET, text.encode())),
    )
    message = HttpRequest("POST", "/v1.0/transfer-va/inquiry", headers, body)
    return scene.app.verify_callback(PARTNER, message, scheme="snap-service")


def _signed_at(scene: Scene, body: bytes, offset: timedelta):  # type: ignore[no-untyped-def]
    stamp = _now(offset)
    text = f'POST:/ayolinx/notify:{sha256_hex(body.replace(b" ", b""))}:{stamp}'
    return (("X-TIMESTAMP", stamp), ("X-SIGNATURE", scene.counterparts["ayolinx"].signature(text.encode())))


def _now(offset: timedelta = timedelta()) -> str:
    jakarta = timezone(timedelta(hours=7))
    return (datetime.now(jakarta) + offset).replace(microsecond=0).isoformat()
