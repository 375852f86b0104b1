import datetime

from chancery._generated.chancery.v1 import resources_pb2 as _resources_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SchemeAct(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCHEME_ACT_UNSPECIFIED: _ClassVar[SchemeAct]
    SCHEME_ACT_SIGN_REQUEST: _ClassVar[SchemeAct]
    SCHEME_ACT_SIGN_RESPONSE: _ClassVar[SchemeAct]
    SCHEME_ACT_VERIFY_CALLBACK: _ClassVar[SchemeAct]
    SCHEME_ACT_VERIFY_RESPONSE: _ClassVar[SchemeAct]
    SCHEME_ACT_ENCRYPT_FIELD: _ClassVar[SchemeAct]
    SCHEME_ACT_DECRYPT_FIELD: _ClassVar[SchemeAct]
    SCHEME_ACT_ISSUE_ACCESS_TOKEN: _ClassVar[SchemeAct]

class SchemeConfidence(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCHEME_CONFIDENCE_UNSPECIFIED: _ClassVar[SchemeConfidence]
    SCHEME_CONFIDENCE_DOCUMENTED: _ClassVar[SchemeConfidence]
    SCHEME_CONFIDENCE_INTEGRATORS: _ClassVar[SchemeConfidence]
    SCHEME_CONFIDENCE_OUR_READING: _ClassVar[SchemeConfidence]
SCHEME_ACT_UNSPECIFIED: SchemeAct
SCHEME_ACT_SIGN_REQUEST: SchemeAct
SCHEME_ACT_SIGN_RESPONSE: SchemeAct
SCHEME_ACT_VERIFY_CALLBACK: SchemeAct
SCHEME_ACT_VERIFY_RESPONSE: SchemeAct
SCHEME_ACT_ENCRYPT_FIELD: SchemeAct
SCHEME_ACT_DECRYPT_FIELD: SchemeAct
SCHEME_ACT_ISSUE_ACCESS_TOKEN: SchemeAct
SCHEME_CONFIDENCE_UNSPECIFIED: SchemeConfidence
SCHEME_CONFIDENCE_DOCUMENTED: SchemeConfidence
SCHEME_CONFIDENCE_INTEGRATORS: SchemeConfidence
SCHEME_CONFIDENCE_OUR_READING: SchemeConfidence

class Partner(_message.Message):
    __slots__ = ("name", "title", "schemes", "constants")
    class ConstantsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SCHEMES_FIELD_NUMBER: _ClassVar[int]
    CONSTANTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    schemes: _containers.RepeatedCompositeFieldContainer[PartnerScheme]
    constants: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ..., schemes: _Optional[_Iterable[_Union[PartnerScheme, _Mapping]]] = ..., constants: _Optional[_Mapping[str, str]] = ...) -> None: ...

class PartnerScheme(_message.Message):
    __slots__ = ("scheme", "acts", "keys")
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    ACTS_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    scheme: str
    acts: _containers.RepeatedScalarFieldContainer[SchemeAct]
    keys: _containers.RepeatedCompositeFieldContainer[PartnerKey]
    def __init__(self, scheme: _Optional[str] = ..., acts: _Optional[_Iterable[_Union[SchemeAct, str]]] = ..., keys: _Optional[_Iterable[_Union[PartnerKey, _Mapping]]] = ...) -> None: ...

class PartnerKey(_message.Message):
    __slots__ = ("role", "algorithm", "description", "key", "public_keys", "secret_encoding", "ready", "problem")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEYS_FIELD_NUMBER: _ClassVar[int]
    SECRET_ENCODING_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    role: str
    algorithm: _resources_pb2.Algorithm
    description: str
    key: str
    public_keys: _containers.RepeatedCompositeFieldContainer[PartnerPublicKey]
    secret_encoding: str
    ready: bool
    problem: str
    def __init__(self, role: _Optional[str] = ..., algorithm: _Optional[_Union[_resources_pb2.Algorithm, str]] = ..., description: _Optional[str] = ..., key: _Optional[str] = ..., public_keys: _Optional[_Iterable[_Union[PartnerPublicKey, _Mapping]]] = ..., secret_encoding: _Optional[str] = ..., ready: bool = ..., problem: _Optional[str] = ...) -> None: ...

class PartnerPublicKey(_message.Message):
    __slots__ = ("pem", "sha256", "id")
    PEM_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    pem: str
    sha256: bytes
    id: str
    def __init__(self, pem: _Optional[str] = ..., sha256: _Optional[bytes] = ..., id: _Optional[str] = ...) -> None: ...

class ListPartnersRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPartnersResponse(_message.Message):
    __slots__ = ("partners", "next_page_token")
    PARTNERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    partners: _containers.RepeatedCompositeFieldContainer[Partner]
    next_page_token: str
    def __init__(self, partners: _Optional[_Iterable[_Union[Partner, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetPartnerRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetPartnerResponse(_message.Message):
    __slots__ = ("partner",)
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    partner: Partner
    def __init__(self, partner: _Optional[_Union[Partner, _Mapping]] = ...) -> None: ...

class Scheme(_message.Message):
    __slots__ = ("name", "title", "source", "confidence", "notes", "acts", "constants", "inputs", "keys", "secret_in_message", "protections", "vector_count", "published_vector_count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    ACTS_FIELD_NUMBER: _ClassVar[int]
    CONSTANTS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    SECRET_IN_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PROTECTIONS_FIELD_NUMBER: _ClassVar[int]
    VECTOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_VECTOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    source: str
    confidence: SchemeConfidence
    notes: str
    acts: _containers.RepeatedScalarFieldContainer[SchemeAct]
    constants: _containers.RepeatedCompositeFieldContainer[SchemeParameter]
    inputs: _containers.RepeatedCompositeFieldContainer[SchemeParameter]
    keys: _containers.RepeatedCompositeFieldContainer[SchemeKey]
    secret_in_message: bool
    protections: SchemeProtections
    vector_count: int
    published_vector_count: int
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ..., source: _Optional[str] = ..., confidence: _Optional[_Union[SchemeConfidence, str]] = ..., notes: _Optional[str] = ..., acts: _Optional[_Iterable[_Union[SchemeAct, str]]] = ..., constants: _Optional[_Iterable[_Union[SchemeParameter, _Mapping]]] = ..., inputs: _Optional[_Iterable[_Union[SchemeParameter, _Mapping]]] = ..., keys: _Optional[_Iterable[_Union[SchemeKey, _Mapping]]] = ..., secret_in_message: bool = ..., protections: _Optional[_Union[SchemeProtections, _Mapping]] = ..., vector_count: _Optional[int] = ..., published_vector_count: _Optional[int] = ...) -> None: ...

class SchemeParameter(_message.Message):
    __slots__ = ("name", "description", "optional", "secret")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    OPTIONAL_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    optional: bool
    secret: bool
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., optional: bool = ..., secret: bool = ...) -> None: ...

class SchemeKey(_message.Message):
    __slots__ = ("role", "description", "algorithm", "uses", "secret_encoding")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    SECRET_ENCODING_FIELD_NUMBER: _ClassVar[int]
    role: str
    description: str
    algorithm: _resources_pb2.Algorithm
    uses: _containers.RepeatedScalarFieldContainer[str]
    secret_encoding: str
    def __init__(self, role: _Optional[str] = ..., description: _Optional[str] = ..., algorithm: _Optional[_Union[_resources_pb2.Algorithm, str]] = ..., uses: _Optional[_Iterable[str]] = ..., secret_encoding: _Optional[str] = ...) -> None: ...

class SchemeProtections(_message.Message):
    __slots__ = ("past_window", "future_window", "replay", "echo")
    PAST_WINDOW_FIELD_NUMBER: _ClassVar[int]
    FUTURE_WINDOW_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    ECHO_FIELD_NUMBER: _ClassVar[int]
    past_window: _duration_pb2.Duration
    future_window: _duration_pb2.Duration
    replay: bool
    echo: bool
    def __init__(self, past_window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., future_window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., replay: bool = ..., echo: bool = ...) -> None: ...

class ListSchemesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSchemesResponse(_message.Message):
    __slots__ = ("schemes", "next_page_token")
    SCHEMES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    schemes: _containers.RepeatedCompositeFieldContainer[Scheme]
    next_page_token: str
    def __init__(self, schemes: _Optional[_Iterable[_Union[Scheme, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetSchemeRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetSchemeResponse(_message.Message):
    __slots__ = ("scheme",)
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    scheme: Scheme
    def __init__(self, scheme: _Optional[_Union[Scheme, _Mapping]] = ...) -> None: ...
