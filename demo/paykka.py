"""PayKKa: SHA256withRSA over path, time, nonce, merchant and body; openssl checks ours and signs theirs."""

from __future__ import annotations

import json
import time
import urllib.parse

from chancery import HttpRequest, Verdict

from acts import MADE_THERE, THEIRS, Act, Acts, Scene, expect
from counterpart import rsa_is_right

PARTNER, KEY, MERCHANT = "paykka", "paykka-signing", "18356675194960"


def acts() -> Acts:
    """A request with and without a body, and a callback."""
    return [
        Act("paykka", "PayKKa: collection request", KEY, MADE_THERE, "openssl", _request),
        Act("paykka", "PayKKa: request without a body", KEY, MADE_THERE, "openssl", _empty),
        Act("paykka", "PayKKa: callback", "-", THEIRS, "openssl", _callback),
    ]


def _request(scene: Scene) -> str:
    body = '{"amount": "20.00", "note": "Grüße"}'
    return _signed(scene, body.encode(), f"\n{body}")


def _empty(scene: Scene) -> str:
    return _signed(scene, b"", "")


def _signed(scene: Scene, body: bytes, end: str) -> str:
    request = HttpRequest("POST", "https://openapi.paykka.example/collection/v1/orders", (), body)
    sent = scene.app.sign_http_request(PARTNER, request, scheme="paykka-collection").request
    said = json.loads(urllib.parse.unquote(sent.header("Authorization") or "", errors="strict"))
    expect(said["sign_type"] == "SHA256_WITH_RSA" and said["key_id"] == "demo-key-id", f"the header says {said}")
    text = f"/collection/v1/orders\n{said['timestamp']}\n{said['nonce']}\n{MERCHANT}{end}"
    public = scene.app.get_public_key(KEY).pem
    expect(rsa_is_right(public, text.encode(), said["signature"]), "openssl does not find the signature right")
    expect(sent.body == body, "the body is another")
    return "valid"


def _callback(scene: Scene) -> str:
    stamp, nonce, body = str(int(time.time() * 1000)), "n0nce-of-the-demo", '{"type":"order","version":"1","data":{}}'
    text = f"/paykka/callback\n{stamp}\n{nonce}\n{MERCHANT}\n{body}"
    said = {
        "sign_type": "SHA256_WITH_RSA",
        "timestamp": stamp,
        "nonce": nonce,
        "key_id": "theirs",
        "signature": scene.counterparts["paykka"].signature(text.encode()),
    }
    headers = (("Authorization", urllib.parse.quote(json.dumps(said), safe="")), ("X-Merch-Id", MERCHANT))
    found = scene.app.verify_callback(
        PARTNER, HttpRequest("POST", "/paykka/callback", headers, body.encode()), scheme="paykka-collection-callback"
    )
    expect(bool(found) and found.authenticated.get("body") == body.encode(), f"{found.verdict}: {found.message}")
    changed = HttpRequest("POST", "/paykka/callback", headers, body.replace("1", "2").encode())
    forged = scene.app.verify_callback(PARTNER, changed, scheme="paykka-collection-callback")
    expect(forged.verdict is Verdict.INVALID, f"with another body: {forged.verdict}")
    return "VALID; another body: INVALID"
