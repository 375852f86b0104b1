import datetime

from chancery._generated.chancery.v1 import resources_pb2 as _resources_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_VALID: _ClassVar[Verdict]
    VERDICT_DUPLICATE: _ClassVar[Verdict]
    VERDICT_INVALID: _ClassVar[Verdict]
    VERDICT_STALE: _ClassVar[Verdict]
    VERDICT_FUTURE: _ClassVar[Verdict]
    VERDICT_OTHER_REQUEST: _ClassVar[Verdict]
    VERDICT_MALFORMED: _ClassVar[Verdict]
    VERDICT_UNSIGNED: _ClassVar[Verdict]
VERDICT_UNSPECIFIED: Verdict
VERDICT_VALID: Verdict
VERDICT_DUPLICATE: Verdict
VERDICT_INVALID: Verdict
VERDICT_STALE: Verdict
VERDICT_FUTURE: Verdict
VERDICT_OTHER_REQUEST: Verdict
VERDICT_MALFORMED: Verdict
VERDICT_UNSIGNED: Verdict

class HttpHeader(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class HttpRequest(_message.Message):
    __slots__ = ("method", "url", "headers", "body")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    method: str
    url: str
    headers: _containers.RepeatedCompositeFieldContainer[HttpHeader]
    body: bytes
    def __init__(self, method: _Optional[str] = ..., url: _Optional[str] = ..., headers: _Optional[_Iterable[_Union[HttpHeader, _Mapping]]] = ..., body: _Optional[bytes] = ...) -> None: ...

class HttpResponse(_message.Message):
    __slots__ = ("status_code", "headers", "body")
    STATUS_CODE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    status_code: int
    headers: _containers.RepeatedCompositeFieldContainer[HttpHeader]
    body: bytes
    def __init__(self, status_code: _Optional[int] = ..., headers: _Optional[_Iterable[_Union[HttpHeader, _Mapping]]] = ..., body: _Optional[bytes] = ...) -> None: ...

class SignHttpRequestRequest(_message.Message):
    __slots__ = ("partner", "scheme", "request", "inputs", "values")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    partner: str
    scheme: str
    request: HttpRequest
    inputs: _containers.ScalarMap[str, str]
    values: _containers.ScalarMap[str, str]
    def __init__(self, partner: _Optional[str] = ..., scheme: _Optional[str] = ..., request: _Optional[_Union[HttpRequest, _Mapping]] = ..., inputs: _Optional[_Mapping[str, str]] = ..., values: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SignHttpRequestResponse(_message.Message):
    __slots__ = ("request", "set_headers", "values", "signature", "scheme")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SET_HEADERS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    request: HttpRequest
    set_headers: _containers.RepeatedCompositeFieldContainer[HttpHeader]
    values: _containers.ScalarMap[str, str]
    signature: KeyUse
    scheme: str
    def __init__(self, request: _Optional[_Union[HttpRequest, _Mapping]] = ..., set_headers: _Optional[_Iterable[_Union[HttpHeader, _Mapping]]] = ..., values: _Optional[_Mapping[str, str]] = ..., signature: _Optional[_Union[KeyUse, _Mapping]] = ..., scheme: _Optional[str] = ...) -> None: ...

class KeyUse(_message.Message):
    __slots__ = ("name", "algorithm", "public_key_sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    algorithm: _resources_pb2.Algorithm
    public_key_sha256: bytes
    def __init__(self, name: _Optional[str] = ..., algorithm: _Optional[_Union[_resources_pb2.Algorithm, str]] = ..., public_key_sha256: _Optional[bytes] = ...) -> None: ...

class SignHttpResponseRequest(_message.Message):
    __slots__ = ("partner", "scheme", "response", "request", "inputs", "values")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    partner: str
    scheme: str
    response: HttpResponse
    request: HttpRequest
    inputs: _containers.ScalarMap[str, str]
    values: _containers.ScalarMap[str, str]
    def __init__(self, partner: _Optional[str] = ..., scheme: _Optional[str] = ..., response: _Optional[_Union[HttpResponse, _Mapping]] = ..., request: _Optional[_Union[HttpRequest, _Mapping]] = ..., inputs: _Optional[_Mapping[str, str]] = ..., values: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SignHttpResponseResponse(_message.Message):
    __slots__ = ("response", "set_headers", "values", "signature", "scheme")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    SET_HEADERS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    response: HttpResponse
    set_headers: _containers.RepeatedCompositeFieldContainer[HttpHeader]
    values: _containers.ScalarMap[str, str]
    signature: KeyUse
    scheme: str
    def __init__(self, response: _Optional[_Union[HttpResponse, _Mapping]] = ..., set_headers: _Optional[_Iterable[_Union[HttpHeader, _Mapping]]] = ..., values: _Optional[_Mapping[str, str]] = ..., signature: _Optional[_Union[KeyUse, _Mapping]] = ..., scheme: _Optional[str] = ...) -> None: ...

class VerifyCallbackRequest(_message.Message):
    __slots__ = ("partner", "scheme", "request", "inputs")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    partner: str
    scheme: str
    request: HttpRequest
    inputs: _containers.ScalarMap[str, str]
    def __init__(self, partner: _Optional[str] = ..., scheme: _Optional[str] = ..., request: _Optional[_Union[HttpRequest, _Mapping]] = ..., inputs: _Optional[_Mapping[str, str]] = ...) -> None: ...

class VerifyCallbackResponse(_message.Message):
    __slots__ = ("verification", "acknowledgement")
    VERIFICATION_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    verification: Verification
    acknowledgement: HttpResponse
    def __init__(self, verification: _Optional[_Union[Verification, _Mapping]] = ..., acknowledgement: _Optional[_Union[HttpResponse, _Mapping]] = ...) -> None: ...

class VerifyHttpResponseRequest(_message.Message):
    __slots__ = ("partner", "scheme", "response", "request", "request_values", "inputs")
    class RequestValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    REQUEST_VALUES_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    partner: str
    scheme: str
    response: HttpResponse
    request: HttpRequest
    request_values: _containers.ScalarMap[str, str]
    inputs: _containers.ScalarMap[str, str]
    def __init__(self, partner: _Optional[str] = ..., scheme: _Optional[str] = ..., response: _Optional[_Union[HttpResponse, _Mapping]] = ..., request: _Optional[_Union[HttpRequest, _Mapping]] = ..., request_values: _Optional[_Mapping[str, str]] = ..., inputs: _Optional[_Mapping[str, str]] = ...) -> None: ...

class VerifyHttpResponseResponse(_message.Message):
    __slots__ = ("verification",)
    VERIFICATION_FIELD_NUMBER: _ClassVar[int]
    verification: Verification
    def __init__(self, verification: _Optional[_Union[Verification, _Mapping]] = ...) -> None: ...

class Verification(_message.Message):
    __slots__ = ("verdict", "reason", "message", "authenticated", "decrypted", "protections", "key", "form", "scheme", "message_time")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    AUTHENTICATED_FIELD_NUMBER: _ClassVar[int]
    DECRYPTED_FIELD_NUMBER: _ClassVar[int]
    PROTECTIONS_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_TIME_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    reason: str
    message: str
    authenticated: _containers.RepeatedCompositeFieldContainer[AuthenticatedPart]
    decrypted: bytes
    protections: Protections
    key: KeyUse
    form: int
    scheme: str
    message_time: _timestamp_pb2.Timestamp
    def __init__(self, verdict: _Optional[_Union[Verdict, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., authenticated: _Optional[_Iterable[_Union[AuthenticatedPart, _Mapping]]] = ..., decrypted: _Optional[bytes] = ..., protections: _Optional[_Union[Protections, _Mapping]] = ..., key: _Optional[_Union[KeyUse, _Mapping]] = ..., form: _Optional[int] = ..., scheme: _Optional[str] = ..., message_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AuthenticatedPart(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: bytes
    def __init__(self, name: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...

class Protections(_message.Message):
    __slots__ = ("past_window", "future_window", "replay", "memory", "echo", "lacking")
    PAST_WINDOW_FIELD_NUMBER: _ClassVar[int]
    FUTURE_WINDOW_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    ECHO_FIELD_NUMBER: _ClassVar[int]
    LACKING_FIELD_NUMBER: _ClassVar[int]
    past_window: _duration_pb2.Duration
    future_window: _duration_pb2.Duration
    replay: bool
    memory: _duration_pb2.Duration
    echo: bool
    lacking: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, past_window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., future_window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., replay: bool = ..., memory: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., echo: bool = ..., lacking: _Optional[_Iterable[str]] = ...) -> None: ...

class EncryptFieldRequest(_message.Message):
    __slots__ = ("partner", "scheme", "plaintext", "inputs", "values")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    PLAINTEXT_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    partner: str
    scheme: str
    plaintext: bytes
    inputs: _containers.ScalarMap[str, str]
    values: _containers.ScalarMap[str, str]
    def __init__(self, partner: _Optional[str] = ..., scheme: _Optional[str] = ..., plaintext: _Optional[bytes] = ..., inputs: _Optional[_Mapping[str, str]] = ..., values: _Optional[_Mapping[str, str]] = ...) -> None: ...

class EncryptFieldResponse(_message.Message):
    __slots__ = ("ciphertext", "key", "oaep_hash", "mgf1_hash", "platform_key_id", "scheme", "values")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CIPHERTEXT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    OAEP_HASH_FIELD_NUMBER: _ClassVar[int]
    MGF1_HASH_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    ciphertext: str
    key: KeyUse
    oaep_hash: str
    mgf1_hash: str
    platform_key_id: str
    scheme: str
    values: _containers.ScalarMap[str, str]
    def __init__(self, ciphertext: _Optional[str] = ..., key: _Optional[_Union[KeyUse, _Mapping]] = ..., oaep_hash: _Optional[str] = ..., mgf1_hash: _Optional[str] = ..., platform_key_id: _Optional[str] = ..., scheme: _Optional[str] = ..., values: _Optional[_Mapping[str, str]] = ...) -> None: ...

class DecryptFieldRequest(_message.Message):
    __slots__ = ("partner", "scheme", "ciphertext", "inputs")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXT_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    partner: str
    scheme: str
    ciphertext: str
    inputs: _containers.ScalarMap[str, str]
    def __init__(self, partner: _Optional[str] = ..., scheme: _Optional[str] = ..., ciphertext: _Optional[str] = ..., inputs: _Optional[_Mapping[str, str]] = ...) -> None: ...

class DecryptFieldResponse(_message.Message):
    __slots__ = ("plaintext", "key", "scheme")
    PLAINTEXT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    plaintext: bytes
    key: KeyUse
    scheme: str
    def __init__(self, plaintext: _Optional[bytes] = ..., key: _Optional[_Union[KeyUse, _Mapping]] = ..., scheme: _Optional[str] = ...) -> None: ...

class IssueAccessTokenRequest(_message.Message):
    __slots__ = ("partner", "scheme", "request")
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    partner: str
    scheme: str
    request: HttpRequest
    def __init__(self, partner: _Optional[str] = ..., scheme: _Optional[str] = ..., request: _Optional[_Union[HttpRequest, _Mapping]] = ...) -> None: ...

class IssueAccessTokenResponse(_message.Message):
    __slots__ = ("verification", "response", "expire_time")
    VERIFICATION_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    verification: Verification
    response: HttpResponse
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, verification: _Optional[_Union[Verification, _Mapping]] = ..., response: _Optional[_Union[HttpResponse, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExplainHttpMessageRequest(_message.Message):
    __slots__ = ("sign_request", "sign_response", "verify_callback", "verify_response")
    SIGN_REQUEST_FIELD_NUMBER: _ClassVar[int]
    SIGN_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    VERIFY_CALLBACK_FIELD_NUMBER: _ClassVar[int]
    VERIFY_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    sign_request: SignHttpRequestRequest
    sign_response: SignHttpResponseRequest
    verify_callback: VerifyCallbackRequest
    verify_response: VerifyHttpResponseRequest
    def __init__(self, sign_request: _Optional[_Union[SignHttpRequestRequest, _Mapping]] = ..., sign_response: _Optional[_Union[SignHttpResponseRequest, _Mapping]] = ..., verify_callback: _Optional[_Union[VerifyCallbackRequest, _Mapping]] = ..., verify_response: _Optional[_Union[VerifyHttpResponseRequest, _Mapping]] = ...) -> None: ...

class ExplainHttpMessageResponse(_message.Message):
    __slots__ = ("scheme", "steps", "strings_to_sign", "string_sha256", "reason", "message")
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    STRINGS_TO_SIGN_FIELD_NUMBER: _ClassVar[int]
    STRING_SHA256_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    scheme: str
    steps: _containers.RepeatedCompositeFieldContainer[ExplainedStep]
    strings_to_sign: _containers.RepeatedScalarFieldContainer[bytes]
    string_sha256: _containers.RepeatedScalarFieldContainer[bytes]
    reason: str
    message: str
    def __init__(self, scheme: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[ExplainedStep, _Mapping]]] = ..., strings_to_sign: _Optional[_Iterable[bytes]] = ..., string_sha256: _Optional[_Iterable[bytes]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ExplainedStep(_message.Message):
    __slots__ = ("at", "rule", "value", "masked")
    AT_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    MASKED_FIELD_NUMBER: _ClassVar[int]
    at: str
    rule: str
    value: bytes
    masked: bool
    def __init__(self, at: _Optional[str] = ..., rule: _Optional[str] = ..., value: _Optional[bytes] = ..., masked: bool = ...) -> None: ...
