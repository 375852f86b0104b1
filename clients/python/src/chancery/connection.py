"""Where the daemon is and who we are to it, and the channel made of that."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

import grpc
from grpc_health.v1 import health_pb2

from chancery._generated.chancery.v1 import jose_service_pb2, key_service_pb2, signing_service_pb2

VARIABLES = ("CHANCERY_ADDR", "CHANCERY_CA", "CHANCERY_CERT", "CHANCERY_KEY")


class ConfigurationError(ValueError):
    """The environment does not say where the daemon is, or who we are."""


@dataclass(frozen=True)
class Settings:
    """An address, and the paths of three PEM files: the daemon's CA, our certificate, our private key."""

    address: str
    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Reads the four variables, or else `client.env` in the directory of a running `chanceryd dev`."""
        found = {name: environment[name] for name in VARIABLES if environment.get(name)}
        if found:
            return cls._from_variables(found, "the environment", Path())
        directory = Path(environment.get("CHANCERY_DEV") or ".chancery-dev")
        file = directory / "client.env"
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"set {', '.join(VARIABLES)}, or start `chanceryd dev` and point CHANCERY_DEV at its directory "
                f"({file}: {error.strerror})"
            ) from error
        return cls._from_variables(_parse(text, file), str(file), directory)

    @classmethod
    def _from_variables(cls, variables: Mapping[str, str], source: str, base: Path) -> Settings:
        missing = [name for name in VARIABLES if not variables.get(name)]
        if missing:
            raise ConfigurationError(f"{source} does not set {', '.join(missing)}")
        address, ca, certificate, key = (variables[name] for name in VARIABLES)
        return cls(address, base / ca, base / certificate, base / key)


def open_channel(
    address: str,
    ca: Union[str, Path],
    certificate: Union[str, Path],
    key: Union[str, Path],
    server_name: Optional[str] = None,
) -> grpc.Channel:
    """A channel with mutual TLS. `server_name` is what the daemon's certificate is checked against, if not the host."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=Path(ca).read_bytes(),
        private_key=Path(key).read_bytes(),
        certificate_chain=Path(certificate).read_bytes(),
    )
    options: List[Tuple[str, Any]] = [
        ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
        ("grpc.max_receive_message_length", 64 * 1024 * 1024),
        # A signing daemon is close by; a proxy set for the web must not come between.
        ("grpc.enable_http_proxy", 0),
    ]
    if server_name is not None:
        options.append(("grpc.ssl_target_name_override", server_name))
    return grpc.secure_channel(_target(address), credentials, options)


def _target(address: str) -> str:
    target = address[len("https://") :].rstrip("/") if address.startswith("https://") else address
    if "/" in target or ":" not in target:
        raise ConfigurationError(f"expected an address such as 'localhost:7443', got {address!r}")
    return target


def _parse(text: str, file: Path) -> Dict[str, str]:
    """Lines that a shell could read too: NAME=VALUE, with `export` before it or not."""
    variables = {}
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise ConfigurationError(f"{file}:{number}: {error}") from error
        if words[:1] == ["export"]:
            words = words[1:]
        if not words:
            continue
        name, equals, value = words[0].partition("=")
        if not equals or len(words) > 1:
            raise ConfigurationError(f"{file}:{number}: expected NAME=VALUE, got {line!r}")
        variables[name] = value
    return variables


def _repeatable_methods() -> List[Dict[str, str]]:
    """Every call with one request and one answer, but those that make something: done twice, they make two."""
    services = [
        service
        for file in (key_service_pb2, signing_service_pb2, jose_service_pb2, health_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
    ]
    return [
        {"service": service.full_name, "method": method.name}
        for service in services
        for method in service.methods
        if not (method.client_streaming or method.server_streaming or method.name in _MAKING)
    ]


# Whoever named a request id may repeat these without harm; the channel can't see whether a request has one.
_MAKING = frozenset({"CreateKey", "CreateKeyVersion", "ImportKey", "ImportKeyVersion"})

_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": _repeatable_methods(),
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
