"""Private keys of the `cryptography` package that sign in the daemon.

With them an `x509.CertificateBuilder` or PyJWT signs with a key that never leaves its token. Needs the
`cryptography` extra.
"""

from __future__ import annotations

from typing import Any, Tuple, Union

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from chancery.algorithms import Algorithm, EcdsaEncoding
from chancery.client import Client

_Hash = Union[hashes.HashAlgorithm, Prehashed]


def private_key(client: Client, key: str) -> Union[RsaPrivateKey, EcPrivateKey]:
    """The private key, by reference, of a named RSA or EC key; of its primary version if none is named."""
    found = client.get_public_key(key)
    public = serialization.load_der_public_key(found.der)
    # The version is kept, so that the public key stays the right one when another becomes primary.
    if isinstance(public, rsa.RSAPublicKey):
        return RsaPrivateKey(client, found.key_version, public)
    if isinstance(public, ec.EllipticCurvePublicKey):
        return EcPrivateKey(client, found.key_version, public)
    raise UnsupportedAlgorithm(f"expected an RSA or EC key, {found.key_version} is neither")


class _InToken:
    """What keys that stay in a token have in common."""

    def __init__(self, client: Client, key_version: str, public: Any) -> None:
        self._client = client
        self._key_version = key_version
        self._public = public

    @property
    def key_size(self) -> int:
        return self._public.key_size  # type: ignore[no-any-return]

    def public_key(self) -> Any:
        return self._public

    def private_numbers(self) -> Any:
        raise UnsupportedAlgorithm("the private key never leaves its token")

    def private_bytes(self, *_: Any, **__: Any) -> bytes:
        raise UnsupportedAlgorithm("the private key never leaves its token")

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, _: Any) -> Any:
        return self

    def _sign(self, family: str, hash_: _Hash, data: bytes, **options: Any) -> bytes:
        name, prehashed = _hash_name(hash_)
        options["digest" if prehashed else "message"] = bytes(data)
        return self._client.sign(self._key_version, Algorithm(f"{family}{name}"), **options).signature


class RsaPrivateKey(_InToken, rsa.RSAPrivateKey):
    """An RSA private key by reference: RS256 to RS512, and PS256 to PS512 as JOSE defines them."""

    def sign(self, data: Any, padding: padding.AsymmetricPadding, algorithm: Any) -> bytes:
        """Signs with PKCS#1 v1.5, or with PSS whose MGF1 hash and salt length are those of the hash."""
        return self._sign(_rsa_family(padding, algorithm), algorithm, data)

    def decrypt(self, ciphertext: bytes, padding: padding.AsymmetricPadding) -> bytes:
        """Not offered: the daemon decrypts whole JWEs only."""
        raise UnsupportedAlgorithm("the daemon decrypts JWEs only; use Client.decrypt_jwe")


class EcPrivateKey(_InToken, ec.EllipticCurvePrivateKey):
    """An EC private key by reference: ES256, ES384, ES512."""

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve."""
        return self._public.curve  # type: ignore[no-any-return]

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Signs with ECDSA, with the hash that JOSE fixes for the curve; the signature is DER."""
        return self._sign("ES", signature_algorithm.algorithm, data, ecdsa_encoding=EcdsaEncoding.DER)

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """Not offered: the daemon agrees on keys only to open JWEs."""
        raise UnsupportedAlgorithm("the daemon agrees on keys for JWEs only; use Client.decrypt_jwe")


def _rsa_family(scheme: padding.AsymmetricPadding, hash_: _Hash) -> str:
    if isinstance(scheme, padding.PKCS1v15):
        return "RS"
    if isinstance(scheme, padding.PSS):
        name, _ = _hash_name(hash_)
        salt_length: Any = scheme._salt_length
        if salt_length is padding.PSS.DIGEST_LENGTH:
            salt_length = int(name) // 8
        if _hash_name(scheme._mgf._algorithm)[0] == name and salt_length == int(name) // 8:
            return "PS"
    raise UnsupportedAlgorithm("expected PKCS1v15, or PSS with MGF1 and salt of the hash's own size")


def _hash_name(hash_: _Hash) -> Tuple[str, bool]:
    """The number in the JOSE name for a hash, and whether the hashing is done already."""
    prehashed = isinstance(hash_, Prehashed)
    inner = hash_._algorithm if prehashed else hash_
    for kind, name in ((hashes.SHA256, "256"), (hashes.SHA384, "384"), (hashes.SHA512, "512")):
        if isinstance(inner, kind):
            return name, prehashed
    raise UnsupportedAlgorithm(f"expected SHA-256, SHA-384 or SHA-512, got {getattr(inner, 'name', inner)}")
