"""Between the wire's messages and plain data, with the checks that an answer is the one that was asked for."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Optional, Union

import google_crc32c

from chancery._generated.chancery.v1 import resources_pb2, signing_service_pb2
from chancery.algorithms import (
    Algorithm,
    ContentEncryption,
    EcdsaEncoding,
    KeyPurpose,
    KeyType,
    KeyVersionState,
    from_wire,
    known_from_wire,
    to_wire,
)
from chancery.errors import ChanceryError, IntegrityError, error_of, status_code
from chancery.names import resource_name
from chancery.results import Key, KeyVersion, Signature, SignItem


def crc32c(data: bytes, before: int = 0) -> int:
    """CRC32C (Castagnoli) of data, carrying on from the CRC of what came before it."""
    return int(google_crc32c.extend(before, bytes(data)))


def crc32c_of_one(message: Optional[bytes], digest: Optional[bytes]) -> Optional[int]:
    """The CRC of the one that is set. With both or neither there is none, and the daemon says what is wrong."""
    if (message is None) == (digest is None):
        return None
    return crc32c(message if message is not None else digest)  # type: ignore[arg-type]


def sign_request(item: SignItem) -> signing_service_pb2.SignRequest:
    """The message for one thing to sign."""
    return signing_service_pb2.SignRequest(
        name=resource_name(item.key),
        algorithm=to_wire(Algorithm, item.algorithm),
        message=item.message,
        digest=item.digest,
        input_crc32c=crc32c_of_one(item.message, item.digest),
        ecdsa_encoding=encoding(item.ecdsa_encoding),
    )


def signature(
    item: SignItem, response: Union[signing_service_pb2.SignResponse, signing_service_pb2.SignChunksResponse]
) -> Signature:
    """The signature in an answer, once it is known to be whole and to be of the key and algorithm asked for."""
    if crc32c(response.signature) != response.signature_crc32c:
        raise IntegrityError("SIGNATURE_CRC32C_MISMATCH", "the signature was damaged on its way here")
    check_answer(resource_name(item.key), Algorithm(item.algorithm), response.name, response.algorithm)
    return Signature(response.signature, response.name, Algorithm(item.algorithm))


def single_signature(item: SignItem, response: signing_service_pb2.SignResponse) -> Signature:
    """As `signature`, and the daemon must have checked the CRC of what it signed."""
    if not response.verified_input_crc32c:
        raise IntegrityError("INPUT_CRC32C_NOT_VERIFIED", "the daemon did not check the CRC32C of the input")
    return signature(item, response)


def item_result(item: SignItem, result: signing_service_pb2.SignResult) -> Union[Signature, ChanceryError]:
    """One result of several: a signature, or why there is none."""
    kind = result.WhichOneof("result")
    if kind == "error":
        error = result.error
        return error_of(status_code(error.code), error.reason, error.message, dict(error.metadata))
    if kind == "response":
        return single_signature(item, result.response)
    raise IntegrityError("EMPTY_RESULT", "the daemon answered with neither a signature nor an error")


def check_answer(asked_name: str, asked_algorithm: Algorithm, name: str, algorithm: int) -> None:
    """Raises unless the key version and algorithm that were used are those that were asked for."""
    check_name(asked_name, name)
    if algorithm != to_wire(Algorithm, asked_algorithm):
        raise IntegrityError("ALGORITHM_MISMATCH", f"asked for {asked_algorithm.value}, was answered for another")


def check_name(asked_name: str, name: str) -> None:
    """Raises unless the key version that was used is of the key, or is the version, that was asked for."""
    if name != asked_name and not name.startswith(f"{asked_name}/versions/"):
        raise IntegrityError("KEY_MISMATCH", f"asked for {asked_name}, was answered for {name!r}")


def encoding(value: Optional[EcdsaEncoding]) -> Any:
    """The wire's number for an ECDSA encoding, or nothing."""
    return None if value is None else to_wire(EcdsaEncoding, value)


def json_text(value: object) -> str:
    """A JSON object as text: text is taken as it is, nothing is empty, all else is serialized."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def key(message: resources_pb2.Key) -> Key:
    """A key as plain data."""
    return Key(
        name=message.name,
        token=message.token,
        type=from_wire(KeyType, message.type),
        purpose=from_wire(KeyPurpose, message.purpose),
        algorithms=known_from_wire(Algorithm, message.algorithms),
        content_encryptions=known_from_wire(ContentEncryption, message.content_encryptions),
        compression_allowed=message.compression_allowed,
        primary_version=message.primary_version,
        versions=tuple(_key_version(version) for version in message.versions),
        description=message.description,
        labels=dict(message.labels),
        etag=message.etag,
        rotation_period_seconds=message.rotation_period.seconds,
        next_rotation_time=moment(message, "next_rotation_time"),
        critical=message.critical,
    )


def moment(message: Any, field: str) -> Optional[datetime]:
    """A Timestamp as an aware datetime; None where it is not set."""
    if not message.HasField(field):
        return None
    return getattr(message, field).ToDatetime(tzinfo=timezone.utc)  # type: ignore[no-any-return]


def _key_version(message: resources_pb2.KeyVersion) -> KeyVersion:
    attributes = message.attributes

    def reported(name: str) -> Optional[bool]:
        return bool(getattr(attributes, name)) if attributes.HasField(name) else None

    return KeyVersion(
        name=message.name,
        local=reported("local"),
        sensitive=reported("sensitive"),
        extractable=reported("extractable"),
        always_sensitive=reported("always_sensitive"),
        never_extractable=reported("never_extractable"),
        public_key_sha256=message.public_key_sha256,
        thumbprint=message.thumbprint,
        adopted=message.adopted,
        imported=message.imported,
        state=from_wire(KeyVersionState, message.state),
        create_time=moment(message, "create_time"),
        destroy_time=moment(message, "destroy_time"),
        created_by=message.created_by,
    )
