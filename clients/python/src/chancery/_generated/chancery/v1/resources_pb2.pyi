import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Algorithm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALGORITHM_UNSPECIFIED: _ClassVar[Algorithm]
    ALGORITHM_RS256: _ClassVar[Algorithm]
    ALGORITHM_RS384: _ClassVar[Algorithm]
    ALGORITHM_RS512: _ClassVar[Algorithm]
    ALGORITHM_PS256: _ClassVar[Algorithm]
    ALGORITHM_PS384: _ClassVar[Algorithm]
    ALGORITHM_PS512: _ClassVar[Algorithm]
    ALGORITHM_ES256: _ClassVar[Algorithm]
    ALGORITHM_ES384: _ClassVar[Algorithm]
    ALGORITHM_ES512: _ClassVar[Algorithm]
    ALGORITHM_EDDSA: _ClassVar[Algorithm]
    ALGORITHM_HS256: _ClassVar[Algorithm]
    ALGORITHM_HS384: _ClassVar[Algorithm]
    ALGORITHM_HS512: _ClassVar[Algorithm]
    ALGORITHM_RSA_OAEP: _ClassVar[Algorithm]
    ALGORITHM_RSA_OAEP_256: _ClassVar[Algorithm]
    ALGORITHM_RSA1_5: _ClassVar[Algorithm]
    ALGORITHM_ECDH_ES: _ClassVar[Algorithm]
    ALGORITHM_ECDH_ES_A128KW: _ClassVar[Algorithm]
    ALGORITHM_ECDH_ES_A256KW: _ClassVar[Algorithm]
    ALGORITHM_A128KW: _ClassVar[Algorithm]
    ALGORITHM_A256KW: _ClassVar[Algorithm]
    ALGORITHM_DIR: _ClassVar[Algorithm]
    ALGORITHM_RSA1_5_PRIVATE: _ClassVar[Algorithm]
    ALGORITHM_RSA_OAEP_256_MGF1_SHA1: _ClassVar[Algorithm]

class ContentEncryption(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTENT_ENCRYPTION_UNSPECIFIED: _ClassVar[ContentEncryption]
    CONTENT_ENCRYPTION_A128GCM: _ClassVar[ContentEncryption]
    CONTENT_ENCRYPTION_A192GCM: _ClassVar[ContentEncryption]
    CONTENT_ENCRYPTION_A256GCM: _ClassVar[ContentEncryption]
    CONTENT_ENCRYPTION_A128CBC_HS256: _ClassVar[ContentEncryption]
    CONTENT_ENCRYPTION_A192CBC_HS384: _ClassVar[ContentEncryption]
    CONTENT_ENCRYPTION_A256CBC_HS512: _ClassVar[ContentEncryption]

class KeyType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_TYPE_UNSPECIFIED: _ClassVar[KeyType]
    KEY_TYPE_RSA_2048: _ClassVar[KeyType]
    KEY_TYPE_RSA_3072: _ClassVar[KeyType]
    KEY_TYPE_RSA_4096: _ClassVar[KeyType]
    KEY_TYPE_EC_P256: _ClassVar[KeyType]
    KEY_TYPE_EC_P384: _ClassVar[KeyType]
    KEY_TYPE_EC_P521: _ClassVar[KeyType]
    KEY_TYPE_ED25519: _ClassVar[KeyType]
    KEY_TYPE_HMAC_SHA256: _ClassVar[KeyType]
    KEY_TYPE_HMAC_SHA384: _ClassVar[KeyType]
    KEY_TYPE_HMAC_SHA512: _ClassVar[KeyType]
    KEY_TYPE_AES_128: _ClassVar[KeyType]
    KEY_TYPE_AES_256: _ClassVar[KeyType]

class KeyPurpose(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_PURPOSE_UNSPECIFIED: _ClassVar[KeyPurpose]
    KEY_PURPOSE_SIGN: _ClassVar[KeyPurpose]
    KEY_PURPOSE_MAC: _ClassVar[KeyPurpose]
    KEY_PURPOSE_DECRYPT: _ClassVar[KeyPurpose]
    KEY_PURPOSE_WRAP: _ClassVar[KeyPurpose]
    KEY_PURPOSE_PROVE_ORIGIN: _ClassVar[KeyPurpose]

class Custody(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CUSTODY_UNSPECIFIED: _ClassVar[Custody]
    CUSTODY_TOKEN_ONLY: _ClassVar[Custody]
    CUSTODY_WORKER_READABLE: _ClassVar[Custody]

class ImportMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMPORT_METHOD_UNSPECIFIED: _ClassVar[ImportMethod]
    IMPORT_METHOD_RSA_OAEP_3072_SHA1_AES_256: _ClassVar[ImportMethod]
    IMPORT_METHOD_RSA_OAEP_3072_SHA256_AES_256: _ClassVar[ImportMethod]
    IMPORT_METHOD_RSA_OAEP_3072_SHA1: _ClassVar[ImportMethod]
    IMPORT_METHOD_RSA_OAEP_3072_SHA256: _ClassVar[ImportMethod]

class EcdsaEncoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ECDSA_ENCODING_UNSPECIFIED: _ClassVar[EcdsaEncoding]
    ECDSA_ENCODING_RAW: _ClassVar[EcdsaEncoding]
    ECDSA_ENCODING_DER: _ClassVar[EcdsaEncoding]

class KeyVersionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_VERSION_STATE_UNSPECIFIED: _ClassVar[KeyVersionState]
    KEY_VERSION_STATE_ENABLED: _ClassVar[KeyVersionState]
    KEY_VERSION_STATE_DISABLED: _ClassVar[KeyVersionState]
    KEY_VERSION_STATE_DESTROY_SCHEDULED: _ClassVar[KeyVersionState]
    KEY_VERSION_STATE_DESTROYED: _ClassVar[KeyVersionState]
ALGORITHM_UNSPECIFIED: Algorithm
ALGORITHM_RS256: Algorithm
ALGORITHM_RS384: Algorithm
ALGORITHM_RS512: Algorithm
ALGORITHM_PS256: Algorithm
ALGORITHM_PS384: Algorithm
ALGORITHM_PS512: Algorithm
ALGORITHM_ES256: Algorithm
ALGORITHM_ES384: Algorithm
ALGORITHM_ES512: Algorithm
ALGORITHM_EDDSA: Algorithm
ALGORITHM_HS256: Algorithm
ALGORITHM_HS384: Algorithm
ALGORITHM_HS512: Algorithm
ALGORITHM_RSA_OAEP: Algorithm
ALGORITHM_RSA_OAEP_256: Algorithm
ALGORITHM_RSA1_5: Algorithm
ALGORITHM_ECDH_ES: Algorithm
ALGORITHM_ECDH_ES_A128KW: Algorithm
ALGORITHM_ECDH_ES_A256KW: Algorithm
ALGORITHM_A128KW: Algorithm
ALGORITHM_A256KW: Algorithm
ALGORITHM_DIR: Algorithm
ALGORITHM_RSA1_5_PRIVATE: Algorithm
ALGORITHM_RSA_OAEP_256_MGF1_SHA1: Algorithm
CONTENT_ENCRYPTION_UNSPECIFIED: ContentEncryption
CONTENT_ENCRYPTION_A128GCM: ContentEncryption
CONTENT_ENCRYPTION_A192GCM: ContentEncryption
CONTENT_ENCRYPTION_A256GCM: ContentEncryption
CONTENT_ENCRYPTION_A128CBC_HS256: ContentEncryption
CONTENT_ENCRYPTION_A192CBC_HS384: ContentEncryption
CONTENT_ENCRYPTION_A256CBC_HS512: ContentEncryption
KEY_TYPE_UNSPECIFIED: KeyType
KEY_TYPE_RSA_2048: KeyType
KEY_TYPE_RSA_3072: KeyType
KEY_TYPE_RSA_4096: KeyType
KEY_TYPE_EC_P256: KeyType
KEY_TYPE_EC_P384: KeyType
KEY_TYPE_EC_P521: KeyType
KEY_TYPE_ED25519: KeyType
KEY_TYPE_HMAC_SHA256: KeyType
KEY_TYPE_HMAC_SHA384: KeyType
KEY_TYPE_HMAC_SHA512: KeyType
KEY_TYPE_AES_128: KeyType
KEY_TYPE_AES_256: KeyType
KEY_PURPOSE_UNSPECIFIED: KeyPurpose
KEY_PURPOSE_SIGN: KeyPurpose
KEY_PURPOSE_MAC: KeyPurpose
KEY_PURPOSE_DECRYPT: KeyPurpose
KEY_PURPOSE_WRAP: KeyPurpose
KEY_PURPOSE_PROVE_ORIGIN: KeyPurpose
CUSTODY_UNSPECIFIED: Custody
CUSTODY_TOKEN_ONLY: Custody
CUSTODY_WORKER_READABLE: Custody
IMPORT_METHOD_UNSPECIFIED: ImportMethod
IMPORT_METHOD_RSA_OAEP_3072_SHA1_AES_256: ImportMethod
IMPORT_METHOD_RSA_OAEP_3072_SHA256_AES_256: ImportMethod
IMPORT_METHOD_RSA_OAEP_3072_SHA1: ImportMethod
IMPORT_METHOD_RSA_OAEP_3072_SHA256: ImportMethod
ECDSA_ENCODING_UNSPECIFIED: EcdsaEncoding
ECDSA_ENCODING_RAW: EcdsaEncoding
ECDSA_ENCODING_DER: EcdsaEncoding
KEY_VERSION_STATE_UNSPECIFIED: KeyVersionState
KEY_VERSION_STATE_ENABLED: KeyVersionState
KEY_VERSION_STATE_DISABLED: KeyVersionState
KEY_VERSION_STATE_DESTROY_SCHEDULED: KeyVersionState
KEY_VERSION_STATE_DESTROYED: KeyVersionState

class Key(_message.Message):
    __slots__ = ("name", "token", "type", "purpose", "algorithms", "content_encryptions", "compression_allowed", "primary_version", "versions", "custody", "description", "labels", "etag", "rotation_period", "next_rotation_time", "critical", "maximum_uses")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    ALGORITHMS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ENCRYPTIONS_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_ALLOWED_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_VERSION_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    CUSTODY_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    ROTATION_PERIOD_FIELD_NUMBER: _ClassVar[int]
    NEXT_ROTATION_TIME_FIELD_NUMBER: _ClassVar[int]
    CRITICAL_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_USES_FIELD_NUMBER: _ClassVar[int]
    name: str
    token: str
    type: KeyType
    purpose: KeyPurpose
    algorithms: _containers.RepeatedScalarFieldContainer[Algorithm]
    content_encryptions: _containers.RepeatedScalarFieldContainer[ContentEncryption]
    compression_allowed: bool
    primary_version: str
    versions: _containers.RepeatedCompositeFieldContainer[KeyVersion]
    custody: Custody
    description: str
    labels: _containers.ScalarMap[str, str]
    etag: str
    rotation_period: _duration_pb2.Duration
    next_rotation_time: _timestamp_pb2.Timestamp
    critical: bool
    maximum_uses: int
    def __init__(self, name: _Optional[str] = ..., token: _Optional[str] = ..., type: _Optional[_Union[KeyType, str]] = ..., purpose: _Optional[_Union[KeyPurpose, str]] = ..., algorithms: _Optional[_Iterable[_Union[Algorithm, str]]] = ..., content_encryptions: _Optional[_Iterable[_Union[ContentEncryption, str]]] = ..., compression_allowed: bool = ..., primary_version: _Optional[str] = ..., versions: _Optional[_Iterable[_Union[KeyVersion, _Mapping]]] = ..., custody: _Optional[_Union[Custody, str]] = ..., description: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., etag: _Optional[str] = ..., rotation_period: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., next_rotation_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., critical: bool = ..., maximum_uses: _Optional[int] = ...) -> None: ...

class KeyVersion(_message.Message):
    __slots__ = ("name", "attributes", "public_key_sha256", "thumbprint", "adopted", "imported", "state", "create_time", "destroy_time", "created_by", "uses")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_SHA256_FIELD_NUMBER: _ClassVar[int]
    THUMBPRINT_FIELD_NUMBER: _ClassVar[int]
    ADOPTED_FIELD_NUMBER: _ClassVar[int]
    IMPORTED_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DESTROY_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    name: str
    attributes: TokenAttributes
    public_key_sha256: str
    thumbprint: str
    adopted: bool
    imported: bool
    state: KeyVersionState
    create_time: _timestamp_pb2.Timestamp
    destroy_time: _timestamp_pb2.Timestamp
    created_by: str
    uses: int
    def __init__(self, name: _Optional[str] = ..., attributes: _Optional[_Union[TokenAttributes, _Mapping]] = ..., public_key_sha256: _Optional[str] = ..., thumbprint: _Optional[str] = ..., adopted: bool = ..., imported: bool = ..., state: _Optional[_Union[KeyVersionState, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., destroy_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_by: _Optional[str] = ..., uses: _Optional[int] = ...) -> None: ...

class TokenAttributes(_message.Message):
    __slots__ = ("local", "sensitive", "extractable", "always_sensitive", "never_extractable")
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    SENSITIVE_FIELD_NUMBER: _ClassVar[int]
    EXTRACTABLE_FIELD_NUMBER: _ClassVar[int]
    ALWAYS_SENSITIVE_FIELD_NUMBER: _ClassVar[int]
    NEVER_EXTRACTABLE_FIELD_NUMBER: _ClassVar[int]
    local: bool
    sensitive: bool
    extractable: bool
    always_sensitive: bool
    never_extractable: bool
    def __init__(self, local: bool = ..., sensitive: bool = ..., extractable: bool = ..., always_sensitive: bool = ..., never_extractable: bool = ...) -> None: ...
