"""Huawei OneAccess: our public key over HTTP, values encrypted to theirs, event callbacks opened."""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.request

from chancery import HttpRequest, Verdict
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from acts import MADE_THERE, THEIRS, WRAPPED, Act, Acts, Scene, expect
from counterpart import hmac_base64

PARTNER, KEY = "oneaccess", "oneaccess-app"
SIGNATURE_SECRET, ENCRYPTION_SECRET = "oneaccess-demo-signature-key", "16-characters-ok"


def acts() -> Acts:
    """Their key to ours and ours to theirs, and an event."""
    return [
        Act("oneaccess", "OneAccess: our public key, by HTTP", KEY, MADE_THERE, "urllib, openssl", _public_key),
        Act("oneaccess", "OneAccess: session token encrypted", "-", THEIRS, "cryptography", _session_token),
        Act("oneaccess", "OneAccess: event callback", "oneaccess-signature", WRAPPED, "hmac, cryptography", _event),
    ]


def _public_key(scene: Scene) -> str:
    request = urllib.request.Request(
        f"http://{scene.daemon.admin}/api/v2/sdk/public-key", headers={"X-client-id": "demo-app"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        found = json.load(answer)["public_key"]
    ours = serialization.load_pem_public_key(scene.app.get_public_key(KEY).pem.encode())
    theirs = serialization.load_pem_public_key(found.encode())
    expect(ours == theirs, "another key was served")
    return "served in the API's shape"


def _session_token(scene: Scene) -> str:
    made = scene.app.encrypt_field(
        PARTNER, scheme="oneaccess-session-token", inputs={"value": "s-1"}
    )
    expect((made.oaep_hash, made.mgf1_hash) == ("SHA-256", "SHA-256"), f"{made.oaep_hash}, {made.mgf1_hash}")
    key = serialization.load_pem_private_key(scene.counterparts["oneaccess"].private_key.read_bytes(), None)
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    text = key.decrypt(base64.b64decode(made.ciphertext), oaep).decode()  # type: ignore[union-attr, call-arg]
    expect(text.startswith("session_token=s-1&timestamp=") and "&nonce=" in text, f"in it is {text}")
    return "opened: session_token, timestamp, nonce"


def _event(scene: Scene) -> str:
    message, iv = b'{"username":"bob"}', os.urandom(12)
    sealed = AESGCM(ENCRYPTION_SECRET.encode()).encrypt(iv, b"abcdefghijklmnop&" + message, None)
    data = base64.b64encode(iv + sealed).decode()
    stamp, nonce = str(int(time.time() * 1000)), base64.b32encode(os.urandom(10)).decode()
    signature = hmac_base64("sha256", SIGNATURE_SECRET, f"{nonce}&{stamp}&CREATE_USER&{data}".encode())
    body = {"nonce": nonce, "timestamp": int(stamp), "eventType": "CREATE_USER", "data": data, "signature": signature}
    request = HttpRequest("POST", "/oneaccess/events", (), json.dumps(body).encode())
    found = scene.app.verify_callback(PARTNER, request, scheme="oneaccess-event")
    expect(bool(found), f"{found.verdict}: {found.message}")
    expect(found.decrypted == message, f"opened to {found.decrypted!r}")
    again = scene.app.verify_callback(PARTNER, request, scheme="oneaccess-event")
    expect(again.verdict is Verdict.DUPLICATE, f"the second time: {again.verdict}")
    return "VALID and opened; then DUPLICATE"
