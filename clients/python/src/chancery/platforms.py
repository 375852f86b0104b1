"""Messages of platforms: what calls about partners take and give, and those calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, Dict, Iterable, Mapping, Optional, Tuple

from chancery._generated.chancery.v1 import platform_service_pb2 as pb
from chancery.algorithms import Algorithm, from_wire
from chancery.errors import IntegrityError

Headers = Tuple[Tuple[str, str], ...]


@dataclass(frozen=True)
class HttpRequest:
    """An HTTP request, byte for byte. `url` is absolute, or path and query as they stand in the request line."""

    method: str
    url: str
    headers: Headers = ()
    body: bytes = b""

    def header(self, name: str) -> Optional[str]:
        """The first header of this name."""
        return _header(self.headers, name)


@dataclass(frozen=True)
class HttpResponse:
    """An HTTP response, byte for byte."""

    status_code: int
    headers: Headers = ()
    body: bytes = b""

    def header(self, name: str) -> Optional[str]:
        """The first header of this name."""
        return _header(self.headers, name)


class Verdict(str, Enum):
    """The decision about a message."""

    VALID = "VALID"
    DUPLICATE = "DUPLICATE"
    INVALID = "INVALID"
    STALE = "STALE"
    FUTURE = "FUTURE"
    OTHER_REQUEST = "OTHER_REQUEST"
    MALFORMED = "MALFORMED"
    UNSIGNED = "UNSIGNED"


@dataclass(frozen=True)
class KeyUse:
    """The key that did something. `public_key_sha256` is that of the SubjectPublicKeyInfo, empty for secrets."""

    name: str
    algorithm: Optional[Algorithm]
    public_key_sha256: bytes


@dataclass(frozen=True)
class Protections:
    """What a scheme gives besides authenticity; `lacking` says in sentences what it does not."""

    past_window: Optional[timedelta]
    future_window: Optional[timedelta]
    replay: bool
    memory: Optional[timedelta]
    echo: bool
    lacking: Tuple[str, ...]


@dataclass(frozen=True)
class MessageVerification:
    """A verdict on a message; true for VALID alone. Act on `authenticated` and `decrypted`, not on the message.

    A DUPLICATE is authentic too and has both: acknowledge it again, but do not act on it again.
    """

    verdict: Verdict
    reason: str
    message: str
    authenticated: Dict[str, bytes]
    decrypted: bytes
    protections: Protections
    key: Optional[KeyUse]
    form: int
    scheme: str
    message_time: Optional[datetime]
    acknowledgement: Optional[HttpResponse] = None

    def __bool__(self) -> bool:
        return self.verdict is Verdict.VALID


@dataclass(frozen=True)
class SignedRequest:
    """A request to send. Keep `values` to verify the answer."""

    request: HttpRequest
    set_headers: Headers
    values: Dict[str, str]
    signature: Optional[KeyUse]
    scheme: str


@dataclass(frozen=True)
class SignedResponse:
    """An answer to send."""

    response: HttpResponse
    set_headers: Headers
    values: Dict[str, str]
    signature: Optional[KeyUse]
    scheme: str


@dataclass(frozen=True)
class EncryptedField:
    """A value encrypted to a partner, encoded as the platform wants it."""

    ciphertext: str
    key: Optional[KeyUse]
    oaep_hash: str
    mgf1_hash: str
    platform_key_id: str
    scheme: str
    values: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class IssuedToken:
    """The answer to a partner that asked for an access token."""

    verification: MessageVerification
    response: HttpResponse
    expire_time: Optional[datetime]


@dataclass(frozen=True)
class ExplainedStep:
    """A piece of a string, and its rule. `value` is empty if it is masked."""

    at: str
    rule: str
    value: bytes
    masked: bool


@dataclass(frozen=True)
class Explanation:
    """How the strings of a message come about. `reason` and `message` say what is wrong, if anything is."""

    scheme: str
    steps: Tuple[ExplainedStep, ...]
    strings_to_sign: Tuple[bytes, ...]
    string_sha256: Tuple[bytes, ...]
    reason: str
    message: str


class PlatformCalls:
    """The calls of PlatformService; `Client` has them."""

    platforms: Any

    def _call(self, method: Any, request: Any) -> Any:
        raise NotImplementedError

    def sign_http_request(
        self,
        partner: str,
        request: HttpRequest,
        *,
        scheme: str = "",
        inputs: Optional[Mapping[str, str]] = None,
        values: Optional[Mapping[str, str]] = None,
    ) -> SignedRequest:
        """Signs a request to a partner, and encrypts it where the scheme says so. Send `.request` exactly as it is."""
        message = pb.SignHttpRequestRequest(
            partner=_partner(partner),
            scheme=_scheme(scheme),
            request=_request_out(request),
            inputs=inputs or {},
            values=values or {},
        )
        answer = self._call(self.platforms.SignHttpRequest, message)
        return SignedRequest(
            _request_in(answer.request),
            _headers_in(answer.set_headers),
            dict(answer.values),
            _key_use(answer, "signature"),
            _plain(answer.scheme),
        )

    def sign_http_response(
        self,
        partner: str,
        response: HttpResponse,
        *,
        request: Optional[HttpRequest] = None,
        scheme: str = "",
        inputs: Optional[Mapping[str, str]] = None,
        values: Optional[Mapping[str, str]] = None,
    ) -> SignedResponse:
        """Signs our answer to a partner's request."""
        message = pb.SignHttpResponseRequest(
            partner=_partner(partner),
            scheme=_scheme(scheme),
            response=_response_out(response),
            request=None if request is None else _request_out(request),
            inputs=inputs or {},
            values=values or {},
        )
        answer = self._call(self.platforms.SignHttpResponse, message)
        return SignedResponse(
            _response_in(answer.response),
            _headers_in(answer.set_headers),
            dict(answer.values),
            _key_use(answer, "signature"),
            _plain(answer.scheme),
        )

    def verify_callback(
        self, partner: str, request: HttpRequest, *, scheme: str = "", inputs: Optional[Mapping[str, str]] = None
    ) -> MessageVerification:
        """Verifies a request that claims to come from a partner. Answer it with `.acknowledgement`."""
        message = pb.VerifyCallbackRequest(
            partner=_partner(partner), scheme=_scheme(scheme), request=_request_out(request), inputs=inputs or {}
        )
        answer = self._call(self.platforms.VerifyCallback, message)
        acknowledgement = _response_in(answer.acknowledgement) if answer.HasField("acknowledgement") else None
        return _verification(answer.verification, acknowledgement)

    def verify_http_response(
        self,
        partner: str,
        response: HttpResponse,
        *,
        request: Optional[HttpRequest] = None,
        request_values: Optional[Mapping[str, str]] = None,
        scheme: str = "",
        inputs: Optional[Mapping[str, str]] = None,
    ) -> MessageVerification:
        """Verifies a partner's answer. `request_values` are the `.values` of the request that it answers."""
        message = pb.VerifyHttpResponseRequest(
            partner=_partner(partner),
            scheme=_scheme(scheme),
            response=_response_out(response),
            request=None if request is None else _request_out(request),
            request_values=request_values or {},
            inputs=inputs or {},
        )
        return _verification(self._call(self.platforms.VerifyHttpResponse, message).verification, None)

    def encrypt_field(
        self,
        partner: str,
        plaintext: bytes = b"",
        *,
        scheme: str = "",
        inputs: Optional[Mapping[str, str]] = None,
        values: Optional[Mapping[str, str]] = None,
    ) -> EncryptedField:
        """Encrypts one value to a partner."""
        message = pb.EncryptFieldRequest(
            partner=_partner(partner),
            scheme=_scheme(scheme),
            plaintext=plaintext,
            inputs=inputs or {},
            values=values or {},
        )
        answer = self._call(self.platforms.EncryptField, message)
        return EncryptedField(
            answer.ciphertext,
            _key_use(answer, "key"),
            answer.oaep_hash,
            answer.mgf1_hash,
            answer.platform_key_id,
            _plain(answer.scheme),
            dict(answer.values),
        )

    def decrypt_field(
        self, partner: str, ciphertext: str, *, scheme: str = "", inputs: Optional[Mapping[str, str]] = None
    ) -> bytes:
        """Decrypts one value that a partner encrypted to us. Nobody has signed it."""
        message = pb.DecryptFieldRequest(
            partner=_partner(partner), scheme=_scheme(scheme), ciphertext=ciphertext, inputs=inputs or {}
        )
        return bytes(self._call(self.platforms.DecryptField, message).plaintext)

    def issue_access_token(self, partner: str, request: HttpRequest, *, scheme: str = "") -> IssuedToken:
        """Answers a partner that asks our token endpoint for an access token. Send `.response` whatever the verdict."""
        message = pb.IssueAccessTokenRequest(
            partner=_partner(partner), scheme=_scheme(scheme), request=_request_out(request)
        )
        answer = self._call(self.platforms.IssueAccessToken, message)
        return IssuedToken(
            _verification(answer.verification, None),
            _response_in(answer.response),
            _time(answer, "expire_time"),
        )


    def explain_signing(
        self,
        partner: str,
        request: HttpRequest,
        *,
        scheme: str = "",
        inputs: Optional[Mapping[str, str]] = None,
        values: Optional[Mapping[str, str]] = None,
    ) -> Explanation:
        """Shows the string that sign_http_request would sign, piece by piece. Nothing is signed."""
        call = pb.SignHttpRequestRequest(
            partner=_partner(partner),
            scheme=_scheme(scheme),
            request=_request_out(request),
            inputs=inputs or {},
            values=values or {},
        )
        return self._explain(pb.ExplainHttpMessageRequest(sign_request=call))

    def explain_callback(
        self, partner: str, request: HttpRequest, *, scheme: str = "", inputs: Optional[Mapping[str, str]] = None
    ) -> Explanation:
        """Shows the strings that verify_callback would verify, piece by piece. Nothing is remembered."""
        call = pb.VerifyCallbackRequest(
            partner=_partner(partner), scheme=_scheme(scheme), request=_request_out(request), inputs=inputs or {}
        )
        return self._explain(pb.ExplainHttpMessageRequest(verify_callback=call))

    def _explain(self, request: pb.ExplainHttpMessageRequest) -> Explanation:
        answer = self._call(self.platforms.ExplainHttpMessage, request)
        return Explanation(
            _plain(answer.scheme),
            tuple(ExplainedStep(step.at, step.rule, bytes(step.value), step.masked) for step in answer.steps),
            tuple(bytes(text) for text in answer.strings_to_sign),
            tuple(bytes(digest) for digest in answer.string_sha256),
            answer.reason,
            answer.message,
        )


def _partner(name: str) -> str:
    return name if name.startswith("partners/") else f"partners/{name}"


def _scheme(name: str) -> str:
    return name if not name or name.startswith("schemes/") else f"schemes/{name}"


def _plain(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _header(headers: Headers, name: str) -> Optional[str]:
    return next((value for other, value in headers if other.lower() == name.lower()), None)


def _headers_out(headers: Iterable[Tuple[str, str]]) -> Iterable[pb.HttpHeader]:
    return [pb.HttpHeader(name=name, value=value) for name, value in headers]


def _headers_in(headers: Any) -> Headers:
    return tuple((header.name, header.value) for header in headers)


def _request_out(request: HttpRequest) -> pb.HttpRequest:
    return pb.HttpRequest(
        method=request.method, url=request.url, headers=_headers_out(request.headers), body=request.body
    )


def _request_in(request: Any) -> HttpRequest:
    return HttpRequest(request.method, request.url, _headers_in(request.headers), bytes(request.body))


def _response_out(response: HttpResponse) -> pb.HttpResponse:
    return pb.HttpResponse(
        status_code=response.status_code, headers=_headers_out(response.headers), body=response.body
    )


def _response_in(response: Any) -> HttpResponse:
    return HttpResponse(response.status_code, _headers_in(response.headers), bytes(response.body))


def _key_use(answer: Any, name: str) -> Optional[KeyUse]:
    if not answer.HasField(name):
        return None
    use = getattr(answer, name)
    return KeyUse(use.name, from_wire(Algorithm, use.algorithm), bytes(use.public_key_sha256))


def _time(answer: Any, name: str) -> Optional[datetime]:
    return getattr(answer, name).ToDatetime(tzinfo=timezone.utc) if answer.HasField(name) else None


def _duration(answer: Any, name: str) -> Optional[timedelta]:
    return getattr(answer, name).ToTimedelta() if answer.HasField(name) else None


def _verdict(number: int) -> Verdict:
    for verdict in Verdict:
        if pb.Verdict.Value(f"VERDICT_{verdict.value}") == number:
            return verdict
    raise IntegrityError("UNKNOWN_VERDICT", f"the daemon gave a verdict that this client does not know: {number}")


def _verification(found: Any, acknowledgement: Optional[HttpResponse]) -> MessageVerification:
    protections = found.protections
    return MessageVerification(
        verdict=_verdict(found.verdict),
        reason=found.reason,
        message=found.message,
        authenticated={part.name: bytes(part.value) for part in found.authenticated},
        decrypted=bytes(found.decrypted),
        protections=Protections(
            _duration(protections, "past_window"),
            _duration(protections, "future_window"),
            protections.replay,
            _duration(protections, "memory"),
            protections.echo,
            tuple(protections.lacking),
        ),
        key=_key_use(found, "key"),
        form=found.form,
        scheme=_plain(found.scheme),
        message_time=_time(found, "message_time"),
        acknowledgement=acknowledgement,
    )
