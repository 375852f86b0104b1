import datetime

from chancery._generated.chancery.v1 import key_service_pb2 as _key_service_pb2
from chancery._generated.chancery.v1 import resources_pb2 as _resources_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProposalState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROPOSAL_STATE_UNSPECIFIED: _ClassVar[ProposalState]
    PROPOSAL_STATE_PENDING: _ClassVar[ProposalState]
    PROPOSAL_STATE_APPROVED: _ClassVar[ProposalState]
    PROPOSAL_STATE_EXECUTING: _ClassVar[ProposalState]
    PROPOSAL_STATE_SUCCEEDED: _ClassVar[ProposalState]
    PROPOSAL_STATE_FAILED: _ClassVar[ProposalState]
    PROPOSAL_STATE_WITHDRAWN: _ClassVar[ProposalState]
    PROPOSAL_STATE_EXPIRED: _ClassVar[ProposalState]
PROPOSAL_STATE_UNSPECIFIED: ProposalState
PROPOSAL_STATE_PENDING: ProposalState
PROPOSAL_STATE_APPROVED: ProposalState
PROPOSAL_STATE_EXECUTING: ProposalState
PROPOSAL_STATE_SUCCEEDED: ProposalState
PROPOSAL_STATE_FAILED: ProposalState
PROPOSAL_STATE_WITHDRAWN: ProposalState
PROPOSAL_STATE_EXPIRED: ProposalState

class ProposedAct(_message.Message):
    __slots__ = ("destroy_key_version", "create_key", "import_key", "import_key_version", "change_policy", "wrapped_key_sha256")
    DESTROY_KEY_VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATE_KEY_FIELD_NUMBER: _ClassVar[int]
    IMPORT_KEY_FIELD_NUMBER: _ClassVar[int]
    IMPORT_KEY_VERSION_FIELD_NUMBER: _ClassVar[int]
    CHANGE_POLICY_FIELD_NUMBER: _ClassVar[int]
    WRAPPED_KEY_SHA256_FIELD_NUMBER: _ClassVar[int]
    destroy_key_version: _key_service_pb2.DestroyKeyVersionRequest
    create_key: _key_service_pb2.CreateKeyRequest
    import_key: _key_service_pb2.ImportKeyRequest
    import_key_version: _key_service_pb2.ImportKeyVersionRequest
    change_policy: ChangePolicy
    wrapped_key_sha256: str
    def __init__(self, destroy_key_version: _Optional[_Union[_key_service_pb2.DestroyKeyVersionRequest, _Mapping]] = ..., create_key: _Optional[_Union[_key_service_pb2.CreateKeyRequest, _Mapping]] = ..., import_key: _Optional[_Union[_key_service_pb2.ImportKeyRequest, _Mapping]] = ..., import_key_version: _Optional[_Union[_key_service_pb2.ImportKeyVersionRequest, _Mapping]] = ..., change_policy: _Optional[_Union[ChangePolicy, _Mapping]] = ..., wrapped_key_sha256: _Optional[str] = ...) -> None: ...

class ChangePolicy(_message.Message):
    __slots__ = ("sha256",)
    SHA256_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    def __init__(self, sha256: _Optional[str] = ...) -> None: ...

class Proposal(_message.Message):
    __slots__ = ("name", "act", "state", "author", "approval", "required_approvals", "given_approvals", "create_time", "expire_time", "withdraw_time", "execute_time", "outcome")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_APPROVALS_FIELD_NUMBER: _ClassVar[int]
    GIVEN_APPROVALS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    WITHDRAW_TIME_FIELD_NUMBER: _ClassVar[int]
    EXECUTE_TIME_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    name: str
    act: ProposedAct
    state: ProposalState
    author: str
    approval: str
    required_approvals: int
    given_approvals: _containers.RepeatedCompositeFieldContainer[GivenApproval]
    create_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    withdraw_time: _timestamp_pb2.Timestamp
    execute_time: _timestamp_pb2.Timestamp
    outcome: str
    def __init__(self, name: _Optional[str] = ..., act: _Optional[_Union[ProposedAct, _Mapping]] = ..., state: _Optional[_Union[ProposalState, str]] = ..., author: _Optional[str] = ..., approval: _Optional[str] = ..., required_approvals: _Optional[int] = ..., given_approvals: _Optional[_Iterable[_Union[GivenApproval, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., withdraw_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., execute_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., outcome: _Optional[str] = ...) -> None: ...

class GivenApproval(_message.Message):
    __slots__ = ("approver", "approve_time")
    APPROVER_FIELD_NUMBER: _ClassVar[int]
    APPROVE_TIME_FIELD_NUMBER: _ClassVar[int]
    approver: str
    approve_time: _timestamp_pb2.Timestamp
    def __init__(self, approver: _Optional[str] = ..., approve_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateProposalRequest(_message.Message):
    __slots__ = ("act", "request_id")
    ACT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    act: ProposedAct
    request_id: str
    def __init__(self, act: _Optional[_Union[ProposedAct, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateProposalResponse(_message.Message):
    __slots__ = ("proposal",)
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    proposal: Proposal
    def __init__(self, proposal: _Optional[_Union[Proposal, _Mapping]] = ...) -> None: ...

class GetProposalRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetProposalResponse(_message.Message):
    __slots__ = ("proposal",)
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    proposal: Proposal
    def __init__(self, proposal: _Optional[_Union[Proposal, _Mapping]] = ...) -> None: ...

class ListProposalsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "states")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[ProposalState]
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[ProposalState, str]]] = ...) -> None: ...

class ListProposalsResponse(_message.Message):
    __slots__ = ("proposals", "next_page_token")
    PROPOSALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    proposals: _containers.RepeatedCompositeFieldContainer[Proposal]
    next_page_token: str
    def __init__(self, proposals: _Optional[_Iterable[_Union[Proposal, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ApproveProposalRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ApproveProposalResponse(_message.Message):
    __slots__ = ("proposal",)
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    proposal: Proposal
    def __init__(self, proposal: _Optional[_Union[Proposal, _Mapping]] = ...) -> None: ...

class WithdrawProposalRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class WithdrawProposalResponse(_message.Message):
    __slots__ = ("proposal",)
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    proposal: Proposal
    def __init__(self, proposal: _Optional[_Union[Proposal, _Mapping]] = ...) -> None: ...

class ExecuteProposalRequest(_message.Message):
    __slots__ = ("name", "wrapped_key")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WRAPPED_KEY_FIELD_NUMBER: _ClassVar[int]
    name: str
    wrapped_key: bytes
    def __init__(self, name: _Optional[str] = ..., wrapped_key: _Optional[bytes] = ...) -> None: ...

class ExecuteProposalResponse(_message.Message):
    __slots__ = ("proposal", "key")
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    proposal: Proposal
    key: _resources_pb2.Key
    def __init__(self, proposal: _Optional[_Union[Proposal, _Mapping]] = ..., key: _Optional[_Union[_resources_pb2.Key, _Mapping]] = ...) -> None: ...
