"""What calls take and give, as plain frozen data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Dict, Optional, Tuple, Union

from chancery.algorithms import Algorithm, ContentEncryption, EcdsaEncoding, KeyPurpose, KeyType, KeyVersionState


@dataclass(frozen=True)
class KeyVersion:
    """One version of a key. The five attributes are as the token reports them; None where it does not say."""

    name: str
    local: Optional[bool]
    sensitive: Optional[bool]
    extractable: Optional[bool]
    always_sensitive: Optional[bool]
    never_extractable: Optional[bool]
    public_key_sha256: str
    thumbprint: str
    adopted: bool
    imported: bool
    state: Optional[KeyVersionState]
    create_time: Optional[datetime]
    destroy_time: Optional[datetime]
    created_by: str


@dataclass(frozen=True)
class Key:
    """A named key. Of type, purpose and algorithms, those that this version of the client knows."""

    name: str
    token: str
    type: Optional[KeyType]
    purpose: Optional[KeyPurpose]
    algorithms: Tuple[Algorithm, ...]
    content_encryptions: Tuple[ContentEncryption, ...]
    compression_allowed: bool
    primary_version: str
    versions: Tuple[KeyVersion, ...]
    description: str
    labels: Dict[str, str]
    etag: str
    rotation_period_seconds: int
    next_rotation_time: Optional[datetime]
    critical: bool = False


@dataclass(frozen=True)
class PublicKey:
    """A public key in every form: PEM and DER SubjectPublicKeyInfo, JWK, RFC 7638 thumbprint."""

    key_version: str
    pem: str
    der: bytes
    jwk: Dict[str, Any]
    thumbprint: str


@dataclass(frozen=True)
class CertificateRequest:
    """A PKCS#10 certificate request, and the key version that signed it."""

    pem: str
    der: bytes
    key_version: str


@dataclass(frozen=True)
class SignItem:
    """One thing to sign. Set exactly one of message and digest; set ecdsa_encoding for ES* and only there."""

    key: str
    algorithm: Union[Algorithm, str]
    message: Optional[bytes] = None
    digest: Optional[bytes] = None
    ecdsa_encoding: Optional[EcdsaEncoding] = None


@dataclass(frozen=True)
class Signature:
    """A signature or MAC, and the key version and algorithm that made it."""

    signature: bytes
    key_version: str
    algorithm: Algorithm


@dataclass(frozen=True)
class Verification:
    """A verdict; true if the signature is valid, so that `if client.verify(...)` says what it seems to say."""

    valid: bool
    key_version: str
    algorithm: Optional[Algorithm]

    def __bool__(self) -> bool:
        return self.valid


@dataclass(frozen=True)
class Jws:
    """A JWS, and the key version and algorithm that made it."""

    jws: str
    key_version: str
    algorithm: Algorithm


@dataclass(frozen=True)
class JwsVerification:
    """A verdict on a JWS; true if valid. All else is empty if it is not."""

    valid: bool
    payload: bytes
    protected_header: str
    key_version: str
    algorithm: Optional[Algorithm]

    def __bool__(self) -> bool:
        return self.valid

    @property
    def header(self) -> Dict[str, Any]:
        """The protected header, parsed."""
        return json.loads(self.protected_header or "{}")  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Jwe:
    """A JWE, compact, and the key version if it was made for a key in the token."""

    jwe: str
    key_version: str


@dataclass(frozen=True)
class DecryptedJwe:
    """What was in a JWE. `protected_header` is the JSON text exactly as it came."""

    plaintext: bytes
    protected_header: str
    key_version: str
    algorithm: Optional[Algorithm]
    content_encryption: Optional[ContentEncryption]

    @property
    def header(self) -> Dict[str, Any]:
        """The protected header, parsed."""
        return json.loads(self.protected_header)  # type: ignore[no-any-return]


class HealthStatus(str, Enum):
    """Whether the daemon, or one of its services, is ready."""

    UNKNOWN = "UNKNOWN"
    SERVING = "SERVING"
    NOT_SERVING = "NOT_SERVING"
    SERVICE_UNKNOWN = "SERVICE_UNKNOWN"
