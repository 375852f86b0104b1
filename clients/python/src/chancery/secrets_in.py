"""Shared secrets brought into the token: wrapped here for a key of the token, which alone unwraps them.

Needs the `cryptography` extra.
"""

from __future__ import annotations

import os
from typing import Any, Union

from chancery import wire
from chancery._generated.chancery.v1 import key_service_pb2 as pb
from chancery._generated.chancery.v1 import resources_pb2
from chancery.algorithms import Algorithm, KeyPurpose, KeyType, to_wire
from chancery.errors import IntegrityError
from chancery.names import resource_name
from chancery.results import Key


class ImportCalls:
    """The calls of KeyService that bring keys in, for secrets of MACs; `Client` has them."""

    keys: Any

    def _call(self, method: Any, request: Any) -> Any:
        raise NotImplementedError

    def import_secret(
        self,
        key_id: str,
        secret: bytes,
        *,
        algorithm: Union[Algorithm, str],
        worker_readable: bool = False,
        token: str = "",
    ) -> Key:
        """Brings in a secret for HS256, HS384 or HS512. `worker_readable` is for secrets that are part of messages."""
        bits = _bits(Algorithm(algorithm))
        request = pb.ImportKeyRequest(
            key_id=key_id,
            token=token,
            type=to_wire(KeyType, f"HMAC_SHA{bits}"),
            purpose=to_wire(KeyPurpose, KeyPurpose.MAC),
            algorithms=[to_wire(Algorithm, algorithm)],
            custody=_READABLE if worker_readable else _TOKEN_ONLY,
            wrapped=self._wrapped(key_id, token, secret, bits, worker_readable),
        )
        return wire.key(self._call(self.keys.ImportKey, request).key)

    def import_secret_version(self, key: str, secret: bytes) -> Key:
        """Brings in the next version of a secret that is there: it makes MACs from now on, and all verify."""
        name = resource_name(key)
        there = self._call(self.keys.GetKey, pb.GetKeyRequest(name=name)).key
        bits = next((_BITS[one] for one in _BITS if to_wire(Algorithm, one) in there.algorithms), 256)
        readable = there.custody == _READABLE
        wrapped = self._wrapped(name.split("/")[1], there.token, secret, bits, readable)
        request = pb.ImportKeyVersionRequest(name=name, wrapped=wrapped)
        return wire.key(self._call(self.keys.ImportKeyVersion, request).key)

    def _wrapped(self, key_id: str, token: str, secret: bytes, bits: int, readable: bool) -> pb.WrappedKey:
        from cryptography.hazmat.primitives import hashes, keywrap, serialization
        from cryptography.hazmat.primitives.asymmetric import padding, rsa

        request = pb.GetImportWrappingKeyRequest(key_id=key_id, token=token)
        answer = self._call(self.keys.GetImportWrappingKey, request)
        wrapping_key = serialization.load_pem_public_key(answer.pem.encode())
        method = next((one for one in answer.methods if one in _WITH_AES | _DIRECT), None)
        if method is None or not isinstance(wrapping_key, rsa.RSAPublicKey):
            raise IntegrityError("UNKNOWN_IMPORT_METHOD", "the daemon names no way to wrap that this client knows")
        hash_of = hashes.SHA256 if method in _SHA256 else hashes.SHA1
        oaep = padding.OAEP(mgf=padding.MGF1(hash_of()), algorithm=hash_of(), label=None)
        # Tokens take no less than the hash has; HMAC itself puts such zeros behind (RFC 2104 section 2).
        padded = secret.ljust(bits // 8, b"\0")
        if method in _DIRECT:
            text = wrapping_key.encrypt(padded, oaep)
        else:
            between = os.urandom(32)
            text = wrapping_key.encrypt(between, oaep) + keywrap.aes_key_wrap_with_padding(between, padded)
        secret_bytes = len(secret) if readable else 0
        return pb.WrappedKey(wrapping_key=answer.name, method=method, wrapped_key=text, secret_bytes=secret_bytes)


def _bits(algorithm: Algorithm) -> int:
    if algorithm not in _BITS:
        raise ValueError(f"expected HS256, HS384 or HS512, got {algorithm.value}")
    return _BITS[algorithm]


_BITS = {Algorithm.HS256: 256, Algorithm.HS384: 384, Algorithm.HS512: 512}
_TOKEN_ONLY = resources_pb2.CUSTODY_TOKEN_ONLY
_READABLE = resources_pb2.CUSTODY_WORKER_READABLE
_WITH_AES = {resources_pb2.IMPORT_METHOD_RSA_OAEP_3072_SHA1_AES_256, resources_pb2.IMPORT_METHOD_RSA_OAEP_3072_SHA256_AES_256}
_DIRECT = {resources_pb2.IMPORT_METHOD_RSA_OAEP_3072_SHA1, resources_pb2.IMPORT_METHOD_RSA_OAEP_3072_SHA256}
_SHA256 = {resources_pb2.IMPORT_METHOD_RSA_OAEP_3072_SHA256_AES_256, resources_pb2.IMPORT_METHOD_RSA_OAEP_3072_SHA256}
