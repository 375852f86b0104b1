import datetime

from chancery._generated.chancery.v1 import resources_pb2 as _resources_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AuditEventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUDIT_EVENT_KIND_UNSPECIFIED: _ClassVar[AuditEventKind]
    AUDIT_EVENT_KIND_STARTED: _ClassVar[AuditEventKind]
    AUDIT_EVENT_KIND_STOPPED: _ClassVar[AuditEventKind]
    AUDIT_EVENT_KIND_RECOVERED: _ClassVar[AuditEventKind]
    AUDIT_EVENT_KIND_RELOADED: _ClassVar[AuditEventKind]
    AUDIT_EVENT_KIND_INTENT: _ClassVar[AuditEventKind]
    AUDIT_EVENT_KIND_OUTCOME: _ClassVar[AuditEventKind]
    AUDIT_EVENT_KIND_DENIED: _ClassVar[AuditEventKind]
    AUDIT_EVENT_KIND_LOG_READ: _ClassVar[AuditEventKind]
    AUDIT_EVENT_KIND_KEY_CHANGED: _ClassVar[AuditEventKind]
    AUDIT_EVENT_KIND_PROPOSAL: _ClassVar[AuditEventKind]
    AUDIT_EVENT_KIND_CHECKPOINT: _ClassVar[AuditEventKind]
    AUDIT_EVENT_KIND_PRUNED: _ClassVar[AuditEventKind]

class AuditResult(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUDIT_RESULT_UNSPECIFIED: _ClassVar[AuditResult]
    AUDIT_RESULT_SUCCEEDED: _ClassVar[AuditResult]
    AUDIT_RESULT_VALID: _ClassVar[AuditResult]
    AUDIT_RESULT_INVALID: _ClassVar[AuditResult]
    AUDIT_RESULT_FAILED: _ClassVar[AuditResult]
    AUDIT_RESULT_ABANDONED: _ClassVar[AuditResult]
    AUDIT_RESULT_DENIED: _ClassVar[AuditResult]
    AUDIT_RESULT_REPEATED: _ClassVar[AuditResult]

class AuditOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUDIT_ORDER_UNSPECIFIED: _ClassVar[AuditOrder]
    AUDIT_ORDER_OLDEST_FIRST: _ClassVar[AuditOrder]
    AUDIT_ORDER_NEWEST_FIRST: _ClassVar[AuditOrder]
AUDIT_EVENT_KIND_UNSPECIFIED: AuditEventKind
AUDIT_EVENT_KIND_STARTED: AuditEventKind
AUDIT_EVENT_KIND_STOPPED: AuditEventKind
AUDIT_EVENT_KIND_RECOVERED: AuditEventKind
AUDIT_EVENT_KIND_RELOADED: AuditEventKind
AUDIT_EVENT_KIND_INTENT: AuditEventKind
AUDIT_EVENT_KIND_OUTCOME: AuditEventKind
AUDIT_EVENT_KIND_DENIED: AuditEventKind
AUDIT_EVENT_KIND_LOG_READ: AuditEventKind
AUDIT_EVENT_KIND_KEY_CHANGED: AuditEventKind
AUDIT_EVENT_KIND_PROPOSAL: AuditEventKind
AUDIT_EVENT_KIND_CHECKPOINT: AuditEventKind
AUDIT_EVENT_KIND_PRUNED: AuditEventKind
AUDIT_RESULT_UNSPECIFIED: AuditResult
AUDIT_RESULT_SUCCEEDED: AuditResult
AUDIT_RESULT_VALID: AuditResult
AUDIT_RESULT_INVALID: AuditResult
AUDIT_RESULT_FAILED: AuditResult
AUDIT_RESULT_ABANDONED: AuditResult
AUDIT_RESULT_DENIED: AuditResult
AUDIT_RESULT_REPEATED: AuditResult
AUDIT_ORDER_UNSPECIFIED: AuditOrder
AUDIT_ORDER_OLDEST_FIRST: AuditOrder
AUDIT_ORDER_NEWEST_FIRST: AuditOrder

class AuditRecord(_message.Message):
    __slots__ = ("name", "sequence", "record_time", "line", "kind", "caller", "call", "subject", "rule", "result", "reason", "intent", "input", "signature_sha256", "public_key_sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RECORD_TIME_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_SHA256_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    sequence: int
    record_time: _timestamp_pb2.Timestamp
    line: bytes
    kind: AuditEventKind
    caller: AuditCaller
    call: str
    subject: AuditSubject
    rule: str
    result: AuditResult
    reason: str
    intent: int
    input: AuditInputHash
    signature_sha256: bytes
    public_key_sha256: bytes
    def __init__(self, name: _Optional[str] = ..., sequence: _Optional[int] = ..., record_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., line: _Optional[bytes] = ..., kind: _Optional[_Union[AuditEventKind, str]] = ..., caller: _Optional[_Union[AuditCaller, _Mapping]] = ..., call: _Optional[str] = ..., subject: _Optional[_Union[AuditSubject, _Mapping]] = ..., rule: _Optional[str] = ..., result: _Optional[_Union[AuditResult, str]] = ..., reason: _Optional[str] = ..., intent: _Optional[int] = ..., input: _Optional[_Union[AuditInputHash, _Mapping]] = ..., signature_sha256: _Optional[bytes] = ..., public_key_sha256: _Optional[bytes] = ...) -> None: ...

class AuditCaller(_message.Message):
    __slots__ = ("identity", "certificate_sha256")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_SHA256_FIELD_NUMBER: _ClassVar[int]
    identity: str
    certificate_sha256: bytes
    def __init__(self, identity: _Optional[str] = ..., certificate_sha256: _Optional[bytes] = ...) -> None: ...

class AuditSubject(_message.Message):
    __slots__ = ("operation", "key", "algorithms", "partner", "scheme", "act")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    ALGORITHMS_FIELD_NUMBER: _ClassVar[int]
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    ACT_FIELD_NUMBER: _ClassVar[int]
    operation: str
    key: str
    algorithms: _containers.RepeatedScalarFieldContainer[_resources_pb2.Algorithm]
    partner: str
    scheme: str
    act: str
    def __init__(self, operation: _Optional[str] = ..., key: _Optional[str] = ..., algorithms: _Optional[_Iterable[_Union[_resources_pb2.Algorithm, str]]] = ..., partner: _Optional[str] = ..., scheme: _Optional[str] = ..., act: _Optional[str] = ...) -> None: ...

class AuditInputHash(_message.Message):
    __slots__ = ("sha256", "hmac_sha256")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    HMAC_SHA256_FIELD_NUMBER: _ClassVar[int]
    sha256: bytes
    hmac_sha256: bytes
    def __init__(self, sha256: _Optional[bytes] = ..., hmac_sha256: _Optional[bytes] = ...) -> None: ...

class AuditCheckpoint(_message.Message):
    __slots__ = ("note", "origin", "tree_size", "root_hash")
    NOTE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    TREE_SIZE_FIELD_NUMBER: _ClassVar[int]
    ROOT_HASH_FIELD_NUMBER: _ClassVar[int]
    note: str
    origin: str
    tree_size: int
    root_hash: bytes
    def __init__(self, note: _Optional[str] = ..., origin: _Optional[str] = ..., tree_size: _Optional[int] = ..., root_hash: _Optional[bytes] = ...) -> None: ...

class ListAuditRecordsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "order", "identity", "key", "partner", "operation", "kind", "result", "start_time", "end_time", "start_sequence", "end_sequence")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    START_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    END_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    order: AuditOrder
    identity: str
    key: str
    partner: str
    operation: str
    kind: AuditEventKind
    result: AuditResult
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    start_sequence: int
    end_sequence: int
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., order: _Optional[_Union[AuditOrder, str]] = ..., identity: _Optional[str] = ..., key: _Optional[str] = ..., partner: _Optional[str] = ..., operation: _Optional[str] = ..., kind: _Optional[_Union[AuditEventKind, str]] = ..., result: _Optional[_Union[AuditResult, str]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_sequence: _Optional[int] = ..., end_sequence: _Optional[int] = ...) -> None: ...

class ListAuditRecordsResponse(_message.Message):
    __slots__ = ("records", "next_page_token", "first_sequence")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[AuditRecord]
    next_page_token: str
    first_sequence: int
    def __init__(self, records: _Optional[_Iterable[_Union[AuditRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., first_sequence: _Optional[int] = ...) -> None: ...

class GetAuditRecordRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetAuditRecordResponse(_message.Message):
    __slots__ = ("record", "inclusion_proof", "checkpoint")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    INCLUSION_PROOF_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    record: AuditRecord
    inclusion_proof: AuditInclusionProof
    checkpoint: AuditCheckpoint
    def __init__(self, record: _Optional[_Union[AuditRecord, _Mapping]] = ..., inclusion_proof: _Optional[_Union[AuditInclusionProof, _Mapping]] = ..., checkpoint: _Optional[_Union[AuditCheckpoint, _Mapping]] = ...) -> None: ...

class AuditInclusionProof(_message.Message):
    __slots__ = ("leaf_hash", "hashes")
    LEAF_HASH_FIELD_NUMBER: _ClassVar[int]
    HASHES_FIELD_NUMBER: _ClassVar[int]
    leaf_hash: bytes
    hashes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, leaf_hash: _Optional[bytes] = ..., hashes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class GetAuditCheckpointRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetAuditCheckpointResponse(_message.Message):
    __slots__ = ("checkpoint", "vkey", "record_count", "first_sequence")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    VKEY_FIELD_NUMBER: _ClassVar[int]
    RECORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    checkpoint: AuditCheckpoint
    vkey: str
    record_count: int
    first_sequence: int
    def __init__(self, checkpoint: _Optional[_Union[AuditCheckpoint, _Mapping]] = ..., vkey: _Optional[str] = ..., record_count: _Optional[int] = ..., first_sequence: _Optional[int] = ...) -> None: ...

class GetAuditConsistencyProofRequest(_message.Message):
    __slots__ = ("old_tree_size",)
    OLD_TREE_SIZE_FIELD_NUMBER: _ClassVar[int]
    old_tree_size: int
    def __init__(self, old_tree_size: _Optional[int] = ...) -> None: ...

class GetAuditConsistencyProofResponse(_message.Message):
    __slots__ = ("hashes", "checkpoint")
    HASHES_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    hashes: _containers.RepeatedScalarFieldContainer[bytes]
    checkpoint: AuditCheckpoint
    def __init__(self, hashes: _Optional[_Iterable[bytes]] = ..., checkpoint: _Optional[_Union[AuditCheckpoint, _Mapping]] = ...) -> None: ...
