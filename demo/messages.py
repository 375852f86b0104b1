"""JOSE with a library that is not ours: jwcrypto verifies our JWS, and makes the JWE that the token opens."""

from __future__ import annotations

import json
from typing import Callable

from chancery import ChanceryError
from jwcrypto import jwe, jwk, jws

from acts import MADE_THERE, Act, Acts, Scene, expect

CLAIMS = {"amount": "5.00", "currency": "EUR", "to": "17"}


def acts() -> Acts:
    """A JWS, and a JWE in each of two ways."""
    return [
        Act("jose", "JWS, ES256", "demo-es256", MADE_THERE, "jwcrypto", _jws),
        Act("jose", "JWE, RSA-OAEP-256", "demo-oaep", MADE_THERE, "jwcrypto", _jwe("demo-oaep")),
        Act("jose", "JWE, ECDH-ES", "demo-ecdh", MADE_THERE, "jwcrypto", _jwe("demo-ecdh")),
        Act("jose", "JWE, its tag changed", "demo-oaep", MADE_THERE, "jwcrypto", _damaged),
    ]


def _jws(scene: Scene) -> str:
    made = scene.app.sign_jws("demo-es256", "ES256", json.dumps(CLAIMS).encode(), protected_header={"typ": "pay+jws"})
    published = scene.app.get_public_key("demo-es256")
    token = jws.JWS()
    token.deserialize(made.jws, jwk.JWK(**published.jwk))
    expect(json.loads(token.payload) == CLAIMS, "jwcrypto finds another payload")
    expect(token.jose_header["kid"] == jwk.JWK(**published.jwk).thumbprint(), "the kid is not the thumbprint")
    return "valid; its kid is the thumbprint"


def _jwe(key: str) -> Callable[[Scene], str]:
    kind, algorithm = KEYS[key]

    def do(scene: Scene) -> str:
        scene.app.create_key(
            key, type=kind, purpose="DECRYPT", algorithms=[algorithm], content_encryptions=["A256GCM"]
        )
        opened = scene.app.decrypt_jwe(key, _made_by_jwcrypto(scene, key))
        expect(json.loads(opened.plaintext) == CLAIMS, "the plaintext is another than went in")
        return "opened in the token"

    return do


def _damaged(scene: Scene) -> str:
    head, rest = _made_by_jwcrypto(scene, "demo-oaep").rsplit(".", 1)
    tag = ("A" if rest[0] != "A" else "B") + rest[1:]
    try:
        scene.app.decrypt_jwe("demo-oaep", f"{head}.{tag}")
    except ChanceryError as refusal:
        expect(refusal.reason == "DECRYPTION_FAILED", f"another refusal came: {refusal}")
        return f"refused: {refusal.reason}"
    expect(False, "it was opened")
    return ""


def _made_by_jwcrypto(scene: Scene, key: str) -> str:
    recipient = jwk.JWK(**scene.app.get_public_key(key).jwk)
    header = {"alg": KEYS[key][1], "enc": "A256GCM", "kid": recipient.thumbprint()}
    return jwe.JWE(json.dumps(CLAIMS).encode(), json.dumps(header), recipient=recipient).serialize(compact=True)


KEYS = {"demo-oaep": ("RSA_2048", "RSA-OAEP-256"), "demo-ecdh": ("EC_P256", "ECDH-ES")}
