from chancery._generated.chancery.v1 import resources_pb2 as _resources_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Serialization(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SERIALIZATION_UNSPECIFIED: _ClassVar[Serialization]
    SERIALIZATION_COMPACT: _ClassVar[Serialization]
    SERIALIZATION_FLATTENED_JSON: _ClassVar[Serialization]
    SERIALIZATION_GENERAL_JSON: _ClassVar[Serialization]
SERIALIZATION_UNSPECIFIED: Serialization
SERIALIZATION_COMPACT: Serialization
SERIALIZATION_FLATTENED_JSON: Serialization
SERIALIZATION_GENERAL_JSON: Serialization

class SignJwsRequest(_message.Message):
    __slots__ = ("name", "algorithm", "payload", "protected_header", "unprotected_header", "serialization", "detached", "unencoded_payload")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_HEADER_FIELD_NUMBER: _ClassVar[int]
    UNPROTECTED_HEADER_FIELD_NUMBER: _ClassVar[int]
    SERIALIZATION_FIELD_NUMBER: _ClassVar[int]
    DETACHED_FIELD_NUMBER: _ClassVar[int]
    UNENCODED_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    name: str
    algorithm: _resources_pb2.Algorithm
    payload: bytes
    protected_header: str
    unprotected_header: str
    serialization: Serialization
    detached: bool
    unencoded_payload: bool
    def __init__(self, name: _Optional[str] = ..., algorithm: _Optional[_Union[_resources_pb2.Algorithm, str]] = ..., payload: _Optional[bytes] = ..., protected_header: _Optional[str] = ..., unprotected_header: _Optional[str] = ..., serialization: _Optional[_Union[Serialization, str]] = ..., detached: bool = ..., unencoded_payload: bool = ...) -> None: ...

class SignJwsResponse(_message.Message):
    __slots__ = ("jws", "name", "algorithm")
    JWS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    jws: str
    name: str
    algorithm: _resources_pb2.Algorithm
    def __init__(self, jws: _Optional[str] = ..., name: _Optional[str] = ..., algorithm: _Optional[_Union[_resources_pb2.Algorithm, str]] = ...) -> None: ...

class VerifyJwsRequest(_message.Message):
    __slots__ = ("name", "jws", "detached_payload", "understood_critical")
    NAME_FIELD_NUMBER: _ClassVar[int]
    JWS_FIELD_NUMBER: _ClassVar[int]
    DETACHED_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    UNDERSTOOD_CRITICAL_FIELD_NUMBER: _ClassVar[int]
    name: str
    jws: str
    detached_payload: bytes
    understood_critical: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., jws: _Optional[str] = ..., detached_payload: _Optional[bytes] = ..., understood_critical: _Optional[_Iterable[str]] = ...) -> None: ...

class VerifyJwsResponse(_message.Message):
    __slots__ = ("valid", "payload", "protected_header", "name", "algorithm")
    VALID_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_HEADER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    valid: bool
    payload: bytes
    protected_header: str
    name: str
    algorithm: _resources_pb2.Algorithm
    def __init__(self, valid: bool = ..., payload: _Optional[bytes] = ..., protected_header: _Optional[str] = ..., name: _Optional[str] = ..., algorithm: _Optional[_Union[_resources_pb2.Algorithm, str]] = ...) -> None: ...

class EncryptJweRequest(_message.Message):
    __slots__ = ("jwk", "pem", "name", "algorithm", "content_encryption", "plaintext", "protected_header", "compress")
    JWK_FIELD_NUMBER: _ClassVar[int]
    PEM_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ENCRYPTION_FIELD_NUMBER: _ClassVar[int]
    PLAINTEXT_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_HEADER_FIELD_NUMBER: _ClassVar[int]
    COMPRESS_FIELD_NUMBER: _ClassVar[int]
    jwk: str
    pem: str
    name: str
    algorithm: _resources_pb2.Algorithm
    content_encryption: _resources_pb2.ContentEncryption
    plaintext: bytes
    protected_header: str
    compress: bool
    def __init__(self, jwk: _Optional[str] = ..., pem: _Optional[str] = ..., name: _Optional[str] = ..., algorithm: _Optional[_Union[_resources_pb2.Algorithm, str]] = ..., content_encryption: _Optional[_Union[_resources_pb2.ContentEncryption, str]] = ..., plaintext: _Optional[bytes] = ..., protected_header: _Optional[str] = ..., compress: bool = ...) -> None: ...

class EncryptJweResponse(_message.Message):
    __slots__ = ("jwe", "name")
    JWE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    jwe: str
    name: str
    def __init__(self, jwe: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class DecryptJweRequest(_message.Message):
    __slots__ = ("name", "jwe")
    NAME_FIELD_NUMBER: _ClassVar[int]
    JWE_FIELD_NUMBER: _ClassVar[int]
    name: str
    jwe: str
    def __init__(self, name: _Optional[str] = ..., jwe: _Optional[str] = ...) -> None: ...

class DecryptJweResponse(_message.Message):
    __slots__ = ("plaintext", "protected_header", "name", "algorithm", "content_encryption")
    PLAINTEXT_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_HEADER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ENCRYPTION_FIELD_NUMBER: _ClassVar[int]
    plaintext: bytes
    protected_header: str
    name: str
    algorithm: _resources_pb2.Algorithm
    content_encryption: _resources_pb2.ContentEncryption
    def __init__(self, plaintext: _Optional[bytes] = ..., protected_header: _Optional[str] = ..., name: _Optional[str] = ..., algorithm: _Optional[_Union[_resources_pb2.Algorithm, str]] = ..., content_encryption: _Optional[_Union[_resources_pb2.ContentEncryption, str]] = ...) -> None: ...
