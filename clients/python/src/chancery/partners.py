"""Partners and schemes: what the daemon knows of them, and the calls that ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, Optional, Tuple

from chancery._generated.chancery.v1 import partner_service_pb2 as pb
from chancery.algorithms import Algorithm, from_wire


@dataclass(frozen=True)
class PartnerKey:
    """What plays the part of a key: one of ours in the token (`key`), or public keys of theirs (`public_keys`, PEM)."""

    role: str
    algorithm: Optional[Algorithm]
    description: str
    key: str
    public_keys: Tuple[str, ...]
    secret_encoding: str
    ready: bool
    problem: str


@dataclass(frozen=True)
class PartnerScheme:
    """A scheme as one partner has it. `acts` are such as SIGN_REQUEST and VERIFY_CALLBACK."""

    scheme: str
    acts: Tuple[str, ...]
    keys: Tuple[PartnerKey, ...]


@dataclass(frozen=True)
class Partner:
    """A counterparty: schemes, keys and constants."""

    name: str
    title: str
    schemes: Tuple[PartnerScheme, ...]
    constants: Dict[str, str]


@dataclass(frozen=True)
class Parameter:
    """What a partner's file, or the caller, must give to a scheme."""

    name: str
    description: str
    optional: bool
    secret: bool


@dataclass(frozen=True)
class Scheme:
    """The rules of a platform, for one kind of message."""

    name: str
    title: str
    source: str
    confidence: str
    notes: str
    acts: Tuple[str, ...]
    constants: Tuple[Parameter, ...]
    inputs: Tuple[Parameter, ...]
    secret_in_message: bool
    vector_count: int
    published_vector_count: int


class PartnerCalls:
    """The calls of PartnerService; `Client` has them."""

    partners: Any

    def _call(self, method: Any, request: Any) -> Any:
        raise NotImplementedError

    def list_partners(self, page_size: int = 0) -> Iterator[Partner]:
        """Every partner that the caller may do anything with, by name."""
        page_token = ""
        while True:
            request = pb.ListPartnersRequest(page_size=page_size, page_token=page_token)
            page = self._call(self.partners.ListPartners, request)
            yield from (_partner(message) for message in page.partners)
            page_token = page.next_page_token
            if not page_token:
                return

    def get_partner(self, name: str) -> Partner:
        """What is known of a partner, and whether its keys are ready."""
        request = pb.GetPartnerRequest(name=name if name.startswith("partners/") else f"partners/{name}")
        return _partner(self._call(self.partners.GetPartner, request).partner)

    def list_schemes(self, page_size: int = 0) -> Iterator[Scheme]:
        """Every scheme, by name."""
        page_token = ""
        while True:
            request = pb.ListSchemesRequest(page_size=page_size, page_token=page_token)
            page = self._call(self.partners.ListSchemes, request)
            yield from (_scheme(message) for message in page.schemes)
            page_token = page.next_page_token
            if not page_token:
                return

    def get_scheme(self, name: str) -> Scheme:
        """What a scheme asks for, what it gives, and how sure its rules are."""
        request = pb.GetSchemeRequest(name=name if name.startswith("schemes/") else f"schemes/{name}")
        return _scheme(self._call(self.partners.GetScheme, request).scheme)


def _plain(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _acts(numbers: Any) -> Tuple[str, ...]:
    known = {value: name[len("SCHEME_ACT_") :] for name, value in pb.SchemeAct.items()}
    return tuple(known[number] for number in numbers if number in known)


def _partner(message: Any) -> Partner:
    return Partner(
        _plain(message.name),
        message.title,
        tuple(
            PartnerScheme(
                _plain(scheme.scheme),
                _acts(scheme.acts),
                tuple(
                    PartnerKey(
                        key.role,
                        from_wire(Algorithm, key.algorithm),
                        key.description,
                        key.key,
                        tuple(public.pem for public in key.public_keys),
                        key.secret_encoding,
                        key.ready,
                        key.problem,
                    )
                    for key in scheme.keys
                ),
            )
            for scheme in message.schemes
        ),
        dict(message.constants),
    )


def _parameters(messages: Any) -> Tuple[Parameter, ...]:
    return tuple(Parameter(one.name, one.description, one.optional, one.secret) for one in messages)


def _scheme(message: Any) -> Scheme:
    known = {value: name[len("SCHEME_CONFIDENCE_") :] for name, value in pb.SchemeConfidence.items()}
    return Scheme(
        _plain(message.name),
        message.title,
        message.source,
        known.get(message.confidence, ""),
        message.notes,
        _acts(message.acts),
        _parameters(message.constants),
        _parameters(message.inputs),
        message.secret_in_message,
        message.vector_count,
        message.published_vector_count,
    )
