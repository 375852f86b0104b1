"""Signatures of keys that are made inside the token, each verified with the openssl command; and MACs."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Optional, Tuple

from chancery import EcdsaEncoding

from acts import MADE_THERE, IMPORTED, Act, Acts, Scene, expect
from programs import succeeds

# Not random, so that whoever wonders can compute the MAC himself; it guards nothing but a demo message.
KNOWN_SECRET = bytes(range(1, 33))
KNOWN_SECRET_KEY = "demo-known-secret"
MESSAGE = b"pay 5 EUR to 17\n"
OTHER_MESSAGE = b"pay 500 EUR to 17\n"


@dataclass(frozen=True)
class Kind:
    """A key to make, and how openssl verifies what it signs."""

    key: str
    type: str
    algorithm: str
    openssl: Callable[[Path, Path, Path], Tuple[object, ...]]


def acts() -> Acts:
    """One for each algorithm, and what the token says of the keys."""
    rows = [
        Act("sign", f"{kind.algorithm} signature", kind.key, MADE_THERE, "openssl", _signature(kind)) for kind in KINDS
    ]
    rows.append(Act("sign", "HS256 MAC", KNOWN_SECRET_KEY, IMPORTED, "Python hmac", _known_mac))
    rows.append(Act("sign", "HS256 MAC", "demo-hs256", MADE_THERE, "Verify call", _mac))
    rows.append(Act("sign", "custody of these keys", "those made there", MADE_THERE, "pkcs11-tool", _custody))
    return rows


def _signature(kind: Kind) -> Callable[[Scene], str]:
    encoding: Optional[EcdsaEncoding] = EcdsaEncoding.DER if kind.algorithm.startswith("ES") else None

    def do(scene: Scene) -> str:
        scene.app.create_key(kind.key, type=kind.type, purpose="SIGN", algorithms=[kind.algorithm])
        signed = scene.app.sign(kind.key, kind.algorithm, message=MESSAGE, ecdsa_encoding=encoding)
        public, signature, message, other = (
            scene.directory / f"{kind.key}.{suffix}" for suffix in ("pem", "sig", "message", "other")
        )
        public.write_text(scene.app.get_public_key(kind.key).pem)
        signature.write_bytes(signed.signature)
        message.write_bytes(MESSAGE)
        other.write_bytes(OTHER_MESSAGE)
        expect(succeeds(*kind.openssl(public, signature, message)), "openssl does not take the signature")
        expect(not succeeds(*kind.openssl(public, signature, other)), "openssl takes it for another message too")
        return f"valid, {len(signed.signature)} bytes"

    return do


def _known_mac(scene: Scene) -> str:
    mac = scene.app.sign(KNOWN_SECRET_KEY, "HS256", message=MESSAGE).signature
    expect(mac == hmac.new(KNOWN_SECRET, MESSAGE, hashlib.sha256).digest(), "hmac computes another value")
    return "same bytes"


def _mac(scene: Scene) -> str:
    scene.app.create_key("demo-hs256", type="HMAC_SHA256", purpose="MAC", algorithms=["HS256"])
    mac = scene.app.sign("demo-hs256", "HS256", message=MESSAGE).signature
    expect(bool(scene.app.verify("demo-hs256", "HS256", mac, message=MESSAGE)), "Verify says no")
    expect(not scene.app.verify("demo-hs256", "HS256", mac, message=OTHER_MESSAGE), "valid for another message")
    return "valid; the secret stays in there"


def _custody(scene: Scene) -> str:
    access = scene.token.access_of_private_keys()
    made = [kind.key for kind in KINDS] + ["demo-hs256"]
    for key in made:
        words = [word.strip() for word in access.get(f"{key}/1", "").split(",")]
        for word in ("always sensitive", "never extractable", "local"):
            expect(word in words, f"{key}: the token does not say `{word}`, but {words}")
    return f"{len(made)} keys, none was ever extractable"


def _dgst(*options: str) -> Callable[[Path, Path, Path], Tuple[object, ...]]:
    def command(public: Path, signature: Path, message: Path) -> Tuple[object, ...]:
        return ("openssl", "dgst", "-sha256", "-verify", public, *options, "-signature", signature, message)

    return command


def _pkeyutl(public: Path, signature: Path, message: Path) -> Tuple[object, ...]:
    arguments = ("-pubin", "-inkey", public, "-rawin", "-in", message, "-sigfile", signature)
    return ("openssl", "pkeyutl", "-verify", *arguments)


KINDS: List[Kind] = [
    Kind("demo-rs256", "RSA_2048", "RS256", _dgst()),
    Kind(
        *("demo-ps256", "RSA_2048", "PS256"),
        _dgst("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"),
    ),
    Kind("demo-es256", "EC_P256", "ES256", _dgst()),
    Kind("demo-eddsa", "ED25519", "EdDSA", _pkeyutl),
]
