"""Names for algorithms and kinds of key: the values of the wire's enums, as Python enums.

The value of an algorithm is its JOSE name, so `Algorithm("ES256")` and `Algorithm.ES256` are the same.
There is no member for "unspecified": the daemon refuses it wherever one of these is asked for.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Iterable, Optional, Tuple, Type, TypeVar, Union

from chancery._generated.chancery.v1 import jose_service_pb2, resources_pb2


class Algorithm(str, Enum):
    """What one signature, MAC or key encryption is made with."""

    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"
    ES256 = "ES256"
    ES384 = "ES384"
    ES512 = "ES512"
    EDDSA = "EdDSA"
    HS256 = "HS256"
    HS384 = "HS384"
    HS512 = "HS512"
    RSA_OAEP = "RSA-OAEP"
    RSA_OAEP_256 = "RSA-OAEP-256"
    RSA_OAEP_256_MGF1_SHA1 = "RSA-OAEP-256-MGF1-SHA1"
    RSA1_5 = "RSA1_5"
    RSA1_5_PRIVATE = "RSA1_5-PRIVATE"
    ECDH_ES = "ECDH-ES"
    ECDH_ES_A128KW = "ECDH-ES+A128KW"
    ECDH_ES_A256KW = "ECDH-ES+A256KW"
    A128KW = "A128KW"
    A256KW = "A256KW"
    DIR = "dir"


class ContentEncryption(str, Enum):
    """How the content of a JWE is encrypted."""

    A128GCM = "A128GCM"
    A192GCM = "A192GCM"
    A256GCM = "A256GCM"
    A128CBC_HS256 = "A128CBC-HS256"
    A192CBC_HS384 = "A192CBC-HS384"
    A256CBC_HS512 = "A256CBC-HS512"


class KeyVersionState(str, Enum):
    """What a version of a key may be used for."""

    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    DESTROY_SCHEDULED = "DESTROY_SCHEDULED"
    DESTROYED = "DESTROYED"


class KeyType(str, Enum):
    """What a key is made of."""

    RSA_2048 = "RSA_2048"
    RSA_3072 = "RSA_3072"
    RSA_4096 = "RSA_4096"
    EC_P256 = "EC_P256"
    EC_P384 = "EC_P384"
    EC_P521 = "EC_P521"
    ED25519 = "ED25519"
    HMAC_SHA256 = "HMAC_SHA256"
    HMAC_SHA384 = "HMAC_SHA384"
    HMAC_SHA512 = "HMAC_SHA512"
    AES_128 = "AES_128"
    AES_256 = "AES_256"


class KeyPurpose(str, Enum):
    """The one thing that a key is for."""

    SIGN = "SIGN"
    MAC = "MAC"
    DECRYPT = "DECRYPT"
    WRAP = "WRAP"
    PROVE_ORIGIN = "PROVE_ORIGIN"


class EcdsaEncoding(str, Enum):
    """How the two numbers of an ECDSA signature are written: RAW as in JOSE, DER as in X.509 and OpenSSL."""

    RAW = "RAW"
    DER = "DER"


class Serialization(str, Enum):
    """How a JWS is written."""

    COMPACT = "COMPACT"
    FLATTENED_JSON = "FLATTENED_JSON"
    GENERAL_JSON = "GENERAL_JSON"


_Name = TypeVar("_Name", bound=Enum)

# The wire's enum for each of ours, and what its value names start with.
WIRE: dict[Type[Enum], Tuple[Any, str]] = {
    Algorithm: (resources_pb2.Algorithm, "ALGORITHM_"),
    ContentEncryption: (resources_pb2.ContentEncryption, "CONTENT_ENCRYPTION_"),
    KeyType: (resources_pb2.KeyType, "KEY_TYPE_"),
    KeyPurpose: (resources_pb2.KeyPurpose, "KEY_PURPOSE_"),
    KeyVersionState: (resources_pb2.KeyVersionState, "KEY_VERSION_STATE_"),
    EcdsaEncoding: (resources_pb2.EcdsaEncoding, "ECDSA_ENCODING_"),
    Serialization: (jose_service_pb2.Serialization, "SERIALIZATION_"),
}


def to_wire(kind: Type[_Name], value: Union[_Name, str]) -> Any:
    """The wire's number for a member or its value; ValueError if it is neither."""
    wire, prefix = WIRE[kind]
    name = str(kind(value).value).upper().replace("-", "_").replace("+", "_")
    return wire.Value(prefix + name)


def from_wire(kind: Type[_Name], number: int) -> Optional[_Name]:
    """The member for a number; None for "unspecified" and for what only a newer daemon knows."""
    return next((member for member in kind if to_wire(kind, member) == number), None)


def known_from_wire(kind: Type[_Name], numbers: Iterable[int]) -> Tuple[_Name, ...]:
    """The members for those numbers that this version of the client knows."""
    members = (from_wire(kind, number) for number in numbers)
    return tuple(member for member in members if member is not None)
