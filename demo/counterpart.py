"""The platform's side of things: keys that openssl made, and signatures that openssl makes and checks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import tempfile
from pathlib import Path

from programs import run, succeeds


class Counterpart:
    """A platform with an RSA key of its own, which the daemon never sees the private half of."""

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.private_key = directory / f"{name}.key"
        self.public_key = directory / f"{name}.pem"
        run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.private_key)
        run("openssl", "pkey", "-in", self.private_key, "-pubout", "-out", self.public_key)

    def signature(self, text: bytes) -> str:
        """SHA256withRSA by the openssl command, in base64."""
        with tempfile.TemporaryDirectory() as directory:
            message, signature = Path(directory, "message"), Path(directory, "signature")
            message.write_bytes(text)
            run("openssl", "dgst", "-sha256", "-sign", self.private_key, "-out", signature, message)
            return base64.b64encode(signature.read_bytes()).decode()


def rsa_is_right(public_key_pem: str, text: bytes, signature: str) -> bool:
    """Whether the openssl command finds the base64 signature to be SHA256withRSA over the text."""
    with tempfile.TemporaryDirectory() as directory:
        key, message, raw = (Path(directory, name) for name in ("key.pem", "message", "signature"))
        key.write_text(public_key_pem)
        message.write_bytes(text)
        raw.write_bytes(base64.b64decode(signature, validate=True))
        return succeeds("openssl", "dgst", "-sha256", "-verify", key, "-signature", raw, message)


def hmac_base64(hash_name: str, secret: str, text: bytes) -> str:
    """An HMAC by Python's own library, in base64."""
    return base64.b64encode(hmac.new(secret.encode(), text, hash_name).digest()).decode()


def sha256_hex(data: bytes) -> str:
    """The SHA-256, in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()
