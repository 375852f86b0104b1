from chancery._generated.chancery.v1 import resources_pb2 as _resources_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SignRequest(_message.Message):
    __slots__ = ("name", "algorithm", "message", "digest", "input_crc32c", "ecdsa_encoding", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    INPUT_CRC32C_FIELD_NUMBER: _ClassVar[int]
    ECDSA_ENCODING_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    algorithm: _resources_pb2.Algorithm
    message: bytes
    digest: bytes
    input_crc32c: int
    ecdsa_encoding: _resources_pb2.EcdsaEncoding
    request_id: str
    def __init__(self, name: _Optional[str] = ..., algorithm: _Optional[_Union[_resources_pb2.Algorithm, str]] = ..., message: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., input_crc32c: _Optional[int] = ..., ecdsa_encoding: _Optional[_Union[_resources_pb2.EcdsaEncoding, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SignResponse(_message.Message):
    __slots__ = ("signature", "name", "algorithm", "signature_crc32c", "verified_input_crc32c")
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_CRC32C_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_INPUT_CRC32C_FIELD_NUMBER: _ClassVar[int]
    signature: bytes
    name: str
    algorithm: _resources_pb2.Algorithm
    signature_crc32c: int
    verified_input_crc32c: bool
    def __init__(self, signature: _Optional[bytes] = ..., name: _Optional[str] = ..., algorithm: _Optional[_Union[_resources_pb2.Algorithm, str]] = ..., signature_crc32c: _Optional[int] = ..., verified_input_crc32c: bool = ...) -> None: ...

class VerifyRequest(_message.Message):
    __slots__ = ("name", "algorithm", "message", "digest", "signature", "ecdsa_encoding", "input_crc32c")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    ECDSA_ENCODING_FIELD_NUMBER: _ClassVar[int]
    INPUT_CRC32C_FIELD_NUMBER: _ClassVar[int]
    name: str
    algorithm: _resources_pb2.Algorithm
    message: bytes
    digest: bytes
    signature: bytes
    ecdsa_encoding: _resources_pb2.EcdsaEncoding
    input_crc32c: int
    def __init__(self, name: _Optional[str] = ..., algorithm: _Optional[_Union[_resources_pb2.Algorithm, str]] = ..., message: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., ecdsa_encoding: _Optional[_Union[_resources_pb2.EcdsaEncoding, str]] = ..., input_crc32c: _Optional[int] = ...) -> None: ...

class VerifyResponse(_message.Message):
    __slots__ = ("valid", "name", "algorithm", "verified_input_crc32c")
    VALID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_INPUT_CRC32C_FIELD_NUMBER: _ClassVar[int]
    valid: bool
    name: str
    algorithm: _resources_pb2.Algorithm
    verified_input_crc32c: bool
    def __init__(self, valid: bool = ..., name: _Optional[str] = ..., algorithm: _Optional[_Union[_resources_pb2.Algorithm, str]] = ..., verified_input_crc32c: bool = ...) -> None: ...

class BatchSignRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[SignRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[SignRequest, _Mapping]]] = ...) -> None: ...

class BatchSignResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SignResult]
    def __init__(self, results: _Optional[_Iterable[_Union[SignResult, _Mapping]]] = ...) -> None: ...

class SignResult(_message.Message):
    __slots__ = ("response", "error")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    response: SignResponse
    error: ItemError
    def __init__(self, response: _Optional[_Union[SignResponse, _Mapping]] = ..., error: _Optional[_Union[ItemError, _Mapping]] = ...) -> None: ...

class ItemError(_message.Message):
    __slots__ = ("code", "message", "reason", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    reason: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., reason: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SignChunksRequest(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: SignChunksHeader
    chunk: bytes
    def __init__(self, header: _Optional[_Union[SignChunksHeader, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class SignChunksHeader(_message.Message):
    __slots__ = ("name", "algorithm", "ecdsa_encoding", "message_crc32c")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    ECDSA_ENCODING_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_CRC32C_FIELD_NUMBER: _ClassVar[int]
    name: str
    algorithm: _resources_pb2.Algorithm
    ecdsa_encoding: _resources_pb2.EcdsaEncoding
    message_crc32c: int
    def __init__(self, name: _Optional[str] = ..., algorithm: _Optional[_Union[_resources_pb2.Algorithm, str]] = ..., ecdsa_encoding: _Optional[_Union[_resources_pb2.EcdsaEncoding, str]] = ..., message_crc32c: _Optional[int] = ...) -> None: ...

class SignChunksResponse(_message.Message):
    __slots__ = ("signature", "name", "algorithm", "signature_crc32c", "verified_message_crc32c", "message_length")
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_CRC32C_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_MESSAGE_CRC32C_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_LENGTH_FIELD_NUMBER: _ClassVar[int]
    signature: bytes
    name: str
    algorithm: _resources_pb2.Algorithm
    signature_crc32c: int
    verified_message_crc32c: bool
    message_length: int
    def __init__(self, signature: _Optional[bytes] = ..., name: _Optional[str] = ..., algorithm: _Optional[_Union[_resources_pb2.Algorithm, str]] = ..., signature_crc32c: _Optional[int] = ..., verified_message_crc32c: bool = ..., message_length: _Optional[int] = ...) -> None: ...

class StreamSignRequest(_message.Message):
    __slots__ = ("id", "request")
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    id: int
    request: SignRequest
    def __init__(self, id: _Optional[int] = ..., request: _Optional[_Union[SignRequest, _Mapping]] = ...) -> None: ...

class StreamSignResponse(_message.Message):
    __slots__ = ("id", "result")
    ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    id: int
    result: SignResult
    def __init__(self, id: _Optional[int] = ..., result: _Optional[_Union[SignResult, _Mapping]] = ...) -> None: ...
