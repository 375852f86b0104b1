"""What the daemon says when it refuses or fails, as exceptions."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Dict, Iterator, Mapping, Optional, Type

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2


class ChanceryError(Exception):
    """A call that failed. `reason` is for programs, `message` for people."""

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        metadata: Optional[Mapping[str, str]] = None,
    ) -> None:
        super().__init__(f"{code.name} {reason}: {message}" if reason else f"{code.name}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata: Dict[str, str] = dict(metadata or {})


class InvalidArgument(ChanceryError):
    """The request itself is wrong; sending it again will not help."""


class Denied(ChanceryError):
    """The policy does not let this caller do this, or there is no such key: the daemon does not tell which."""


class Unauthenticated(ChanceryError):
    """The daemon could not tell who the caller is."""


class NotFound(ChanceryError):
    """There is no such thing."""


class AlreadyExists(ChanceryError):
    """The name is taken."""


class FailedPrecondition(ChanceryError):
    """The key, or the token, is not in a state or of a kind that allows this."""


class ResourceExhausted(ChanceryError):
    """Too much at once, or too large."""


class Unavailable(ChanceryError):
    """The daemon or its token can't be reached now; it may be later."""


class DeadlineExceeded(ChanceryError):
    """No answer within the time allowed. Whether the work was done is not known."""


class IntegrityError(ChanceryError):
    """What came back is not what was asked for, or was damaged on the way. Found by this client."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(grpc.StatusCode.DATA_LOSS, reason, message)


def error_of(code: grpc.StatusCode, reason: str, message: str, metadata: Mapping[str, str]) -> ChanceryError:
    """The exception for a status; ChanceryError itself for codes that have no class of their own."""
    return _CLASSES.get(code, ChanceryError)(code, reason, message, metadata)


def status_code(number: int) -> grpc.StatusCode:
    """The status code with a number; UNKNOWN if there is none."""
    return next((code for code in grpc.StatusCode if code.value[0] == number), grpc.StatusCode.UNKNOWN)


@contextmanager
def translated() -> Iterator[None]:
    """Raises what gRPC raises inside the `with` block as a ChanceryError."""
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error


def from_rpc_error(error: grpc.RpcError) -> ChanceryError:
    """Reads the status, and the ErrorInfo in `grpc-status-details-bin` if there is one."""
    info = error_details_pb2.ErrorInfo()
    for name, value in error.trailing_metadata() or ():
        if name == "grpc-status-details-bin":
            info = _error_info(value)
    return error_of(error.code(), info.reason, error.details() or "", dict(info.metadata))


def _error_info(status: bytes) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    try:
        for detail in status_pb2.Status.FromString(status).details:
            if detail.Unpack(info):
                break
    except DecodeError:
        # The status code and its message stand without it.
        return error_details_pb2.ErrorInfo()
    return info


_CLASSES: Dict[grpc.StatusCode, Type[ChanceryError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.PERMISSION_DENIED: Denied,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}
