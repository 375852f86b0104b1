from chancery._generated.chancery.v1 import resources_pb2 as _resources_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateKeyRequest(_message.Message):
    __slots__ = ("key_id", "token", "type", "purpose", "algorithms", "content_encryptions", "compression_allowed", "request_id", "critical", "maximum_uses")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    ALGORITHMS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ENCRYPTIONS_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_ALLOWED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CRITICAL_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_USES_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    token: str
    type: _resources_pb2.KeyType
    purpose: _resources_pb2.KeyPurpose
    algorithms: _containers.RepeatedScalarFieldContainer[_resources_pb2.Algorithm]
    content_encryptions: _containers.RepeatedScalarFieldContainer[_resources_pb2.ContentEncryption]
    compression_allowed: bool
    request_id: str
    critical: bool
    maximum_uses: int
    def __init__(self, key_id: _Optional[str] = ..., token: _Optional[str] = ..., type: _Optional[_Union[_resources_pb2.KeyType, str]] = ..., purpose: _Optional[_Union[_resources_pb2.KeyPurpose, str]] = ..., algorithms: _Optional[_Iterable[_Union[_resources_pb2.Algorithm, str]]] = ..., content_encryptions: _Optional[_Iterable[_Union[_resources_pb2.ContentEncryption, str]]] = ..., compression_allowed: bool = ..., request_id: _Optional[str] = ..., critical: bool = ..., maximum_uses: _Optional[int] = ...) -> None: ...

class CreateKeyResponse(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: _resources_pb2.Key
    def __init__(self, key: _Optional[_Union[_resources_pb2.Key, _Mapping]] = ...) -> None: ...

class GetImportWrappingKeyRequest(_message.Message):
    __slots__ = ("key_id", "token")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    token: str
    def __init__(self, key_id: _Optional[str] = ..., token: _Optional[str] = ...) -> None: ...

class GetImportWrappingKeyResponse(_message.Message):
    __slots__ = ("name", "pem", "methods")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PEM_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    name: str
    pem: str
    methods: _containers.RepeatedScalarFieldContainer[_resources_pb2.ImportMethod]
    def __init__(self, name: _Optional[str] = ..., pem: _Optional[str] = ..., methods: _Optional[_Iterable[_Union[_resources_pb2.ImportMethod, str]]] = ...) -> None: ...

class WrappedKey(_message.Message):
    __slots__ = ("wrapping_key", "method", "wrapped_key", "public_key", "secret_bytes")
    WRAPPING_KEY_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    WRAPPED_KEY_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    SECRET_BYTES_FIELD_NUMBER: _ClassVar[int]
    wrapping_key: str
    method: _resources_pb2.ImportMethod
    wrapped_key: bytes
    public_key: bytes
    secret_bytes: int
    def __init__(self, wrapping_key: _Optional[str] = ..., method: _Optional[_Union[_resources_pb2.ImportMethod, str]] = ..., wrapped_key: _Optional[bytes] = ..., public_key: _Optional[bytes] = ..., secret_bytes: _Optional[int] = ...) -> None: ...

class ImportKeyRequest(_message.Message):
    __slots__ = ("key_id", "token", "type", "purpose", "algorithms", "content_encryptions", "compression_allowed", "custody", "wrapped", "request_id")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    ALGORITHMS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ENCRYPTIONS_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_ALLOWED_FIELD_NUMBER: _ClassVar[int]
    CUSTODY_FIELD_NUMBER: _ClassVar[int]
    WRAPPED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    token: str
    type: _resources_pb2.KeyType
    purpose: _resources_pb2.KeyPurpose
    algorithms: _containers.RepeatedScalarFieldContainer[_resources_pb2.Algorithm]
    content_encryptions: _containers.RepeatedScalarFieldContainer[_resources_pb2.ContentEncryption]
    compression_allowed: bool
    custody: _resources_pb2.Custody
    wrapped: WrappedKey
    request_id: str
    def __init__(self, key_id: _Optional[str] = ..., token: _Optional[str] = ..., type: _Optional[_Union[_resources_pb2.KeyType, str]] = ..., purpose: _Optional[_Union[_resources_pb2.KeyPurpose, str]] = ..., algorithms: _Optional[_Iterable[_Union[_resources_pb2.Algorithm, str]]] = ..., content_encryptions: _Optional[_Iterable[_Union[_resources_pb2.ContentEncryption, str]]] = ..., compression_allowed: bool = ..., custody: _Optional[_Union[_resources_pb2.Custody, str]] = ..., wrapped: _Optional[_Union[WrappedKey, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class ImportKeyResponse(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: _resources_pb2.Key
    def __init__(self, key: _Optional[_Union[_resources_pb2.Key, _Mapping]] = ...) -> None: ...

class ImportKeyVersionRequest(_message.Message):
    __slots__ = ("name", "wrapped", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WRAPPED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    wrapped: WrappedKey
    request_id: str
    def __init__(self, name: _Optional[str] = ..., wrapped: _Optional[_Union[WrappedKey, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class ImportKeyVersionResponse(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: _resources_pb2.Key
    def __init__(self, key: _Optional[_Union[_resources_pb2.Key, _Mapping]] = ...) -> None: ...

class CreateKeyVersionRequest(_message.Message):
    __slots__ = ("name", "make_primary", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MAKE_PRIMARY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    make_primary: bool
    request_id: str
    def __init__(self, name: _Optional[str] = ..., make_primary: bool = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateKeyVersionResponse(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: _resources_pb2.Key
    def __init__(self, key: _Optional[_Union[_resources_pb2.Key, _Mapping]] = ...) -> None: ...

class UpdateKeyRequest(_message.Message):
    __slots__ = ("key", "update_mask", "request_id")
    KEY_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    key: _resources_pb2.Key
    update_mask: _field_mask_pb2.FieldMask
    request_id: str
    def __init__(self, key: _Optional[_Union[_resources_pb2.Key, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateKeyResponse(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: _resources_pb2.Key
    def __init__(self, key: _Optional[_Union[_resources_pb2.Key, _Mapping]] = ...) -> None: ...

class UpdateKeyVersionRequest(_message.Message):
    __slots__ = ("key_version", "update_mask", "etag", "request_id")
    KEY_VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    key_version: _resources_pb2.KeyVersion
    update_mask: _field_mask_pb2.FieldMask
    etag: str
    request_id: str
    def __init__(self, key_version: _Optional[_Union[_resources_pb2.KeyVersion, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateKeyVersionResponse(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: _resources_pb2.Key
    def __init__(self, key: _Optional[_Union[_resources_pb2.Key, _Mapping]] = ...) -> None: ...

class DestroyKeyVersionRequest(_message.Message):
    __slots__ = ("name", "etag", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    request_id: str
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DestroyKeyVersionResponse(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: _resources_pb2.Key
    def __init__(self, key: _Optional[_Union[_resources_pb2.Key, _Mapping]] = ...) -> None: ...

class RestoreKeyVersionRequest(_message.Message):
    __slots__ = ("name", "etag", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    request_id: str
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RestoreKeyVersionResponse(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: _resources_pb2.Key
    def __init__(self, key: _Optional[_Union[_resources_pb2.Key, _Mapping]] = ...) -> None: ...

class GetKeyRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetKeyResponse(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: _resources_pb2.Key
    def __init__(self, key: _Optional[_Union[_resources_pb2.Key, _Mapping]] = ...) -> None: ...

class ListKeysRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListKeysResponse(_message.Message):
    __slots__ = ("keys", "next_page_token")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[_resources_pb2.Key]
    next_page_token: str
    def __init__(self, keys: _Optional[_Iterable[_Union[_resources_pb2.Key, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetPublicKeyRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetPublicKeyResponse(_message.Message):
    __slots__ = ("name", "pem", "der", "jwk", "thumbprint")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PEM_FIELD_NUMBER: _ClassVar[int]
    DER_FIELD_NUMBER: _ClassVar[int]
    JWK_FIELD_NUMBER: _ClassVar[int]
    THUMBPRINT_FIELD_NUMBER: _ClassVar[int]
    name: str
    pem: str
    der: bytes
    jwk: str
    thumbprint: str
    def __init__(self, name: _Optional[str] = ..., pem: _Optional[str] = ..., der: _Optional[bytes] = ..., jwk: _Optional[str] = ..., thumbprint: _Optional[str] = ...) -> None: ...

class GetJwksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetJwksResponse(_message.Message):
    __slots__ = ("jwks",)
    JWKS_FIELD_NUMBER: _ClassVar[int]
    jwks: str
    def __init__(self, jwks: _Optional[str] = ...) -> None: ...

class CreateCertificateRequestRequest(_message.Message):
    __slots__ = ("name", "algorithm", "subject", "dns_names", "uris", "ip_addresses", "email_addresses")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    DNS_NAMES_FIELD_NUMBER: _ClassVar[int]
    URIS_FIELD_NUMBER: _ClassVar[int]
    IP_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    EMAIL_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    name: str
    algorithm: _resources_pb2.Algorithm
    subject: _containers.RepeatedCompositeFieldContainer[SubjectAttribute]
    dns_names: _containers.RepeatedScalarFieldContainer[str]
    uris: _containers.RepeatedScalarFieldContainer[str]
    ip_addresses: _containers.RepeatedScalarFieldContainer[str]
    email_addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., algorithm: _Optional[_Union[_resources_pb2.Algorithm, str]] = ..., subject: _Optional[_Iterable[_Union[SubjectAttribute, _Mapping]]] = ..., dns_names: _Optional[_Iterable[str]] = ..., uris: _Optional[_Iterable[str]] = ..., ip_addresses: _Optional[_Iterable[str]] = ..., email_addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class SubjectAttribute(_message.Message):
    __slots__ = ("type", "value")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    type: str
    value: str
    def __init__(self, type: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class CreateCertificateRequestResponse(_message.Message):
    __slots__ = ("pem", "der", "name")
    PEM_FIELD_NUMBER: _ClassVar[int]
    DER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    pem: str
    der: bytes
    name: str
    def __init__(self, pem: _Optional[str] = ..., der: _Optional[bytes] = ..., name: _Optional[str] = ...) -> None: ...

class GenerateRandomRequest(_message.Message):
    __slots__ = ("token", "length")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    token: str
    length: int
    def __init__(self, token: _Optional[str] = ..., length: _Optional[int] = ...) -> None: ...

class GenerateRandomResponse(_message.Message):
    __slots__ = ("data", "data_crc32c")
    DATA_FIELD_NUMBER: _ClassVar[int]
    DATA_CRC32C_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    data_crc32c: int
    def __init__(self, data: _Optional[bytes] = ..., data_crc32c: _Optional[int] = ...) -> None: ...
