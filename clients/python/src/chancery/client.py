"""The client: one method for each call of the daemon, plain data in and out."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chancery import wire
from chancery._generated.chancery.v1 import (
    approval_service_pb2_grpc,
    audit_service_pb2_grpc,
    jose_service_pb2,
    jose_service_pb2_grpc,
    key_service_pb2,
    key_service_pb2_grpc,
    partner_service_pb2_grpc,
    platform_service_pb2_grpc,
    resources_pb2,
    signing_service_pb2,
    signing_service_pb2_grpc,
)
from chancery.algorithms import (
    Algorithm,
    ContentEncryption,
    EcdsaEncoding,
    KeyPurpose,
    KeyType,
    KeyVersionState,
    Serialization,
    from_wire,
    to_wire,
)
from chancery.approvals import ApprovalCalls
from chancery.audit import AuditCalls
from chancery.connection import Settings, open_channel
from chancery.errors import ChanceryError, IntegrityError, from_rpc_error, translated
from chancery.names import resource_name
from chancery.partners import PartnerCalls
from chancery.platforms import PlatformCalls
from chancery.results import (
    CertificateRequest,
    DecryptedJwe,
    HealthStatus,
    Jwe,
    Jws,
    JwsVerification,
    Key,
    PublicKey,
    Signature,
    SignItem,
    Verification,
)
from chancery.secrets_in import ImportCalls


class Client(PlatformCalls, PartnerCalls, ImportCalls, ApprovalCalls, AuditCalls):
    """Speaks with one daemon over mutual TLS. Safe to share between threads; close it, or use it in `with`.

    `ca`, `certificate` and `key` are paths of PEM files. `timeout` is in seconds and holds for every call
    except the three that take streams, whose length is the caller's. Calls that may be repeated without
    harm are repeated, within that time, while the daemon can't be reached. Keys are named `payouts`,
    `payouts/2` or by resource name. Every method raises ChanceryError.
    """

    def __init__(
        self,
        address: str,
        ca: Union[str, Path],
        certificate: Union[str, Path],
        key: Union[str, Path],
        timeout: Optional[float] = 10.0,
        *,
        server_name: Optional[str] = None,
    ) -> None:
        self._timeout = timeout
        self._channel = open_channel(address, ca, certificate, key, server_name)
        # The generated stubs, for who wants to say what these methods can't.
        self.keys: Any = key_service_pb2_grpc.KeyServiceStub(self._channel)
        self.approvals: Any = approval_service_pb2_grpc.ApprovalServiceStub(self._channel)
        self.signing: Any = signing_service_pb2_grpc.SigningServiceStub(self._channel)
        self.jose: Any = jose_service_pb2_grpc.JoseServiceStub(self._channel)
        self.platforms: Any = platform_service_pb2_grpc.PlatformServiceStub(self._channel)
        self.partners: Any = partner_service_pb2_grpc.PartnerServiceStub(self._channel)
        self.audit: Any = audit_service_pb2_grpc.AuditServiceStub(self._channel)
        self._health: Any = health_pb2_grpc.HealthStub(self._channel)

    @classmethod
    def from_environment(cls, timeout: Optional[float] = 10.0, *, server_name: Optional[str] = None) -> Client:
        """Reads CHANCERY_ADDR, CHANCERY_CA, CHANCERY_CERT, CHANCERY_KEY, or finds a running `chanceryd dev`."""
        settings = Settings.from_environment()
        return cls(settings.address, settings.ca, settings.certificate, settings.key, timeout, server_name=server_name)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection, also for clients made by `with_timeout`."""
        self._channel.close()

    def with_timeout(self, timeout: Optional[float]) -> Client:
        """The same client, on the same connection, with another time allowed for each call; None for no limit."""
        other = copy.copy(self)
        other._timeout = timeout
        return other

    # Keys

    def create_key(
        self,
        key_id: str,
        *,
        type: Union[KeyType, str],
        purpose: Union[KeyPurpose, str],
        algorithms: Iterable[Union[Algorithm, str]],
        content_encryptions: Iterable[Union[ContentEncryption, str]] = (),
        compression_allowed: bool = False,
        critical: bool = False,
        token: str = "",
        request_id: str = "",
    ) -> Key:
        """Generates a key inside the token. `token` may be left out if the daemon has exactly one.

        Asked again with the same `request_id`, such as a UUID, it gives the same answer and makes nothing.
        """
        request = key_service_pb2.CreateKeyRequest(
            key_id=key_id,
            token=token,
            type=to_wire(KeyType, type),
            purpose=to_wire(KeyPurpose, purpose),
            algorithms=[to_wire(Algorithm, algorithm) for algorithm in algorithms],
            content_encryptions=[to_wire(ContentEncryption, value) for value in content_encryptions],
            compression_allowed=compression_allowed,
            critical=critical,
            request_id=request_id,
        )
        return wire.key(self._call(self.keys.CreateKey, request).key)

    def create_key_version(self, key: str, *, make_primary: bool, request_id: str = "") -> Key:
        """Generates the next version of a key; it signs at once only if it is made the primary one."""
        request = key_service_pb2.CreateKeyVersionRequest(
            name=resource_name(key), make_primary=make_primary, request_id=request_id
        )
        return wire.key(self._call(self.keys.CreateKeyVersion, request).key)

    def update_key(
        self,
        key: str,
        *,
        description: Optional[str] = None,
        labels: Optional[Mapping[str, str]] = None,
        primary_version: Optional[str] = None,
        rotation_period_seconds: Optional[int] = None,
        etag: str = "",
        request_id: str = "",
    ) -> Key:
        """Changes what is given; a rotation period of 0 is never. With an `etag`: only if it is the present one."""
        message = resources_pb2.Key(name=resource_name(key), etag=etag)
        mask = []
        if description is not None:
            mask.append("description")
            message.description = description
        if labels is not None:
            mask.append("labels")
            message.labels.update(labels)
        if primary_version is not None:
            mask.append("primary_version")
            message.primary_version = resource_name(primary_version)
        if rotation_period_seconds is not None:
            mask.append("rotation_period")
            if rotation_period_seconds:
                message.rotation_period.seconds = rotation_period_seconds
        request = key_service_pb2.UpdateKeyRequest(key=message, request_id=request_id)
        request.update_mask.paths.extend(mask)
        return wire.key(self._call(self.keys.UpdateKey, request).key)

    def enable_key_version(self, version: str, *, etag: str = "", request_id: str = "") -> Key:
        """Has a version used again."""
        return self._turn(version, KeyVersionState.ENABLED, etag, request_id)

    def disable_key_version(self, version: str, *, etag: str = "", request_id: str = "") -> Key:
        """Has a version refused, by all daemons that share a store within two seconds, until it is enabled again."""
        return self._turn(version, KeyVersionState.DISABLED, etag, request_id)

    def _turn(self, version: str, state: KeyVersionState, etag: str, request_id: str) -> Key:
        request = key_service_pb2.UpdateKeyVersionRequest(etag=etag, request_id=request_id)
        request.key_version.name = resource_name(version)
        request.key_version.state = to_wire(KeyVersionState, state)
        request.update_mask.paths.append("state")
        return wire.key(self._call(self.keys.UpdateKeyVersion, request).key)

    def destroy_key_version(self, version: str, *, etag: str = "", request_id: str = "") -> Key:
        """Has a version destroyed at its `destroy_time`; until then it is refused, and can be restored."""
        request = key_service_pb2.DestroyKeyVersionRequest(
            name=resource_name(version), etag=etag, request_id=request_id
        )
        return wire.key(self._call(self.keys.DestroyKeyVersion, request).key)

    def restore_key_version(self, version: str, *, etag: str = "", request_id: str = "") -> Key:
        """Takes a version back that was to be destroyed; it is disabled then."""
        request = key_service_pb2.RestoreKeyVersionRequest(
            name=resource_name(version), etag=etag, request_id=request_id
        )
        return wire.key(self._call(self.keys.RestoreKeyVersion, request).key)

    def get_key(self, key: str) -> Key:
        """What is known of a key and its versions."""
        request = key_service_pb2.GetKeyRequest(name=resource_name(key))
        return wire.key(self._call(self.keys.GetKey, request).key)

    def list_keys(self, page_size: int = 0) -> Iterator[Key]:
        """Every key that the caller may get, by name; fetches a page at a time, of the daemon's size if 0."""
        page_token = ""
        while True:
            request = key_service_pb2.ListKeysRequest(page_size=page_size, page_token=page_token)
            page = self._call(self.keys.ListKeys, request)
            yield from (wire.key(message) for message in page.keys)
            page_token = page.next_page_token
            if not page_token:
                return

    def get_public_key(self, key: str) -> PublicKey:
        """The public key as PEM, DER and JWK; of the primary version if none is named."""
        request = key_service_pb2.GetPublicKeyRequest(name=resource_name(key))
        response = self._call(self.keys.GetPublicKey, request)
        wire.check_name(request.name, response.name)
        return PublicKey(response.name, response.pem, response.der, json.loads(response.jwk), response.thumbprint)

    def jwks(self) -> Dict[str, Any]:
        """The public keys that the caller may get, as a JWK Set."""
        return json.loads(self._call(self.keys.GetJwks, key_service_pb2.GetJwksRequest()).jwks)  # type: ignore[no-any-return]

    def create_certificate_request(
        self,
        key: str,
        algorithm: Union[Algorithm, str],
        *,
        subject: Sequence[Tuple[str, str]] = (),
        dns_names: Sequence[str] = (),
        uris: Sequence[str] = (),
        ip_addresses: Sequence[str] = (),
        email_addresses: Sequence[str] = (),
    ) -> CertificateRequest:
        """A PKCS#10 request signed by the key. `subject` is pairs such as ("CN", "pay.example")."""
        request = key_service_pb2.CreateCertificateRequestRequest(
            name=resource_name(key),
            algorithm=to_wire(Algorithm, algorithm),
            subject=[key_service_pb2.SubjectAttribute(type=kind, value=value) for kind, value in subject],
            dns_names=dns_names,
            uris=uris,
            ip_addresses=ip_addresses,
            email_addresses=email_addresses,
        )
        response = self._call(self.keys.CreateCertificateRequest, request)
        wire.check_name(request.name, response.name)
        return CertificateRequest(response.pem, response.der, response.name)

    def random(self, length: int, *, token: str = "") -> bytes:
        """1 to 1024 random bytes from the token's generator."""
        request = key_service_pb2.GenerateRandomRequest(token=token, length=length)
        response = self._call(self.keys.GenerateRandom, request)
        if wire.crc32c(response.data) != response.data_crc32c or len(response.data) != length:
            raise IntegrityError("DATA_CRC32C_MISMATCH", "the random bytes were damaged on their way here")
        return bytes(response.data)

    # Signatures and MACs

    def sign(
        self,
        key: str,
        algorithm: Union[Algorithm, str],
        *,
        message: Optional[bytes] = None,
        digest: Optional[bytes] = None,
        ecdsa_encoding: Optional[EcdsaEncoding] = None,
        request_id: str = "",
    ) -> Signature:
        """Signs a message, or its ready digest: exactly one. ES* needs `ecdsa_encoding`. HS* makes a MAC.

        Asked again with the same `request_id`, such as a UUID, it gives the same bytes; not for HS*.
        """
        item = SignItem(key, algorithm, message, digest, ecdsa_encoding)
        request = wire.sign_request(item)
        request.request_id = request_id
        return wire.single_signature(item, self._call(self.signing.Sign, request))

    def verify(
        self,
        key: str,
        algorithm: Union[Algorithm, str],
        signature: bytes,
        *,
        message: Optional[bytes] = None,
        digest: Optional[bytes] = None,
        ecdsa_encoding: Optional[EcdsaEncoding] = None,
    ) -> Verification:
        """Verifies a signature or MAC over a message or its digest; the verdict is true if it is valid."""
        request = signing_service_pb2.VerifyRequest(
            name=resource_name(key),
            algorithm=to_wire(Algorithm, algorithm),
            message=message,
            digest=digest,
            signature=signature,
            ecdsa_encoding=wire.encoding(ecdsa_encoding),
            input_crc32c=wire.crc32c_of_one(message, digest),
        )
        response = self._call(self.signing.Verify, request)
        if not response.verified_input_crc32c:
            raise IntegrityError("INPUT_CRC32C_NOT_VERIFIED", "the daemon did not check the CRC32C of the input")
        if response.valid:
            wire.check_answer(request.name, Algorithm(algorithm), response.name, response.algorithm)
        return Verification(response.valid, response.name, from_wire(Algorithm, response.algorithm))

    def sign_batch(self, items: Iterable[SignItem]) -> List[Union[Signature, ChanceryError]]:
        """Signs up to 1000 things in one call; each has its own result, in order: a signature or an error."""
        asked = list(items)
        request = signing_service_pb2.BatchSignRequest(requests=[wire.sign_request(item) for item in asked])
        results = self._call(self.signing.BatchSign, request).results
        if len(results) != len(asked):
            raise IntegrityError("RESULT_COUNT", f"asked for {len(asked)} results, got {len(results)}")
        return [wire.item_result(item, result) for item, result in zip(asked, results)]

    def sign_file(
        self,
        key: str,
        algorithm: Union[Algorithm, str],
        path: Union[str, os.PathLike[str]],
        *,
        ecdsa_encoding: Optional[EcdsaEncoding] = None,
        timeout: Optional[float] = None,
    ) -> Signature:
        """Signs a file of any size in constant memory. It is read twice: its CRC32C goes ahead of it."""
        with open(path, "rb") as file:
            crc = 0
            for chunk in _chunks_of(file.read):
                crc = wire.crc32c(chunk, crc)
            file.seek(0)
            return self.sign_chunks(
                key,
                algorithm,
                _chunks_of(file.read),
                ecdsa_encoding=ecdsa_encoding,
                message_crc32c=crc,
                timeout=timeout,
            )

    def sign_chunks(
        self,
        key: str,
        algorithm: Union[Algorithm, str],
        chunks: Iterable[bytes],
        *,
        ecdsa_encoding: Optional[EcdsaEncoding] = None,
        message_crc32c: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> Signature:
        """Signs one message of any size, given in parts of any size. Not for EdDSA.

        The CRC32C of the whole goes first on the wire, so that it is checked only if the caller knows it.
        """
        sent = 0

        def messages() -> Iterator[signing_service_pb2.SignChunksRequest]:
            nonlocal sent
            yield signing_service_pb2.SignChunksRequest(
                header=signing_service_pb2.SignChunksHeader(
                    name=resource_name(key),
                    algorithm=to_wire(Algorithm, algorithm),
                    ecdsa_encoding=wire.encoding(ecdsa_encoding),
                    message_crc32c=message_crc32c,
                )
            )
            for chunk in chunks:
                for start in range(0, len(chunk), CHUNK_SIZE):
                    part = bytes(chunk[start : start + CHUNK_SIZE])
                    sent += len(part)
                    yield signing_service_pb2.SignChunksRequest(chunk=part)

        outgoing = _Outgoing(messages())
        try:
            response = self.signing.SignChunks(outgoing, timeout=timeout)
        except grpc.RpcError as error:
            raise outgoing.failure or from_rpc_error(error) from error
        if response.message_length != sent:
            raise IntegrityError("MESSAGE_LENGTH", f"sent {sent} bytes, {response.message_length} were signed")
        if message_crc32c is not None and not response.verified_message_crc32c:
            raise IntegrityError("INPUT_CRC32C_NOT_VERIFIED", "the daemon did not check the CRC32C of the message")
        return wire.signature(SignItem(key, algorithm), response)

    def sign_stream(
        self, items: Iterable[SignItem], *, timeout: Optional[float] = None
    ) -> Iterator[Tuple[int, Union[Signature, ChanceryError]]]:
        """Signs things as they come. Yields (index of the item, its result) as answers come, in any order.

        Nothing is sent before the first answer is asked for; to stop early, close the iterator.
        """
        pending: Dict[int, SignItem] = {}

        def messages() -> Iterator[signing_service_pb2.StreamSignRequest]:
            for index, item in enumerate(items):
                request = wire.sign_request(item)
                pending[index] = item
                yield signing_service_pb2.StreamSignRequest(id=index, request=request)

        outgoing = _Outgoing(messages())
        call = self.signing.StreamSign(outgoing, timeout=timeout)
        try:
            for answer in call:
                if answer.id not in pending:
                    raise IntegrityError("UNKNOWN_ID", f"an answer came for {answer.id}, which has none outstanding")
                yield answer.id, wire.item_result(pending.pop(answer.id), answer.result)
        except grpc.RpcError as error:
            raise outgoing.failure or from_rpc_error(error) from error
        finally:
            call.cancel()
        if pending:
            raise IntegrityError("RESULT_COUNT", f"{len(pending)} items were left without an answer")

    # JOSE

    def sign_jws(
        self,
        key: str,
        algorithm: Union[Algorithm, str],
        payload: bytes,
        *,
        protected_header: Union[Mapping[str, Any], str, None] = None,
        unprotected_header: Union[Mapping[str, Any], str, None] = None,
        serialization: Union[Serialization, str] = Serialization.COMPACT,
        detached: bool = False,
        unencoded_payload: bool = False,
    ) -> Jws:
        """Makes a JWS. `unencoded_payload` is `b64=false` of RFC 7797."""
        request = jose_service_pb2.SignJwsRequest(
            name=resource_name(key),
            algorithm=to_wire(Algorithm, algorithm),
            payload=payload,
            protected_header=wire.json_text(protected_header),
            unprotected_header=wire.json_text(unprotected_header),
            serialization=to_wire(Serialization, serialization),
            detached=detached,
            unencoded_payload=unencoded_payload,
        )
        response = self._call(self.jose.SignJws, request)
        wire.check_answer(request.name, Algorithm(algorithm), response.name, response.algorithm)
        return Jws(response.jws, response.name, Algorithm(algorithm))

    def verify_jws(
        self,
        key: str,
        jws: str,
        *,
        detached_payload: Optional[bytes] = None,
        understood_critical: Sequence[str] = (),
    ) -> JwsVerification:
        """Verifies a JWS in any serialization; the verdict is true if it is valid."""
        request = jose_service_pb2.VerifyJwsRequest(
            name=resource_name(key),
            jws=jws,
            detached_payload=detached_payload,
            understood_critical=understood_critical,
        )
        response = self._call(self.jose.VerifyJws, request)
        if response.valid:
            wire.check_name(request.name, response.name)
        return JwsVerification(
            response.valid,
            response.payload,
            response.protected_header,
            response.name,
            from_wire(Algorithm, response.algorithm),
        )

    def encrypt_jwe(
        self,
        plaintext: bytes,
        *,
        algorithm: Union[Algorithm, str],
        content_encryption: Union[ContentEncryption, str],
        jwk: Union[Mapping[str, Any], str, None] = None,
        pem: Union[str, bytes, None] = None,
        key: Optional[str] = None,
        protected_header: Union[Mapping[str, Any], str, None] = None,
        compress: bool = False,
    ) -> Jwe:
        """Makes a JWE for one recipient: a public JWK, a PEM public key or certificate, or a key in the token."""
        if sum(recipient is not None for recipient in (jwk, pem, key)) != 1:
            raise ValueError("expected exactly one of jwk, pem and key")
        request = jose_service_pb2.EncryptJweRequest(
            jwk=None if jwk is None else wire.json_text(jwk),
            pem=pem.decode("ascii") if isinstance(pem, bytes) else pem,
            name=None if key is None else resource_name(key),
            algorithm=to_wire(Algorithm, algorithm),
            content_encryption=to_wire(ContentEncryption, content_encryption),
            plaintext=plaintext,
            protected_header=wire.json_text(protected_header),
            compress=compress,
        )
        response = self._call(self.jose.EncryptJwe, request)
        return Jwe(response.jwe, response.name)

    def decrypt_jwe(self, key: str, jwe: str) -> DecryptedJwe:
        """Opens a JWE in any serialization."""
        request = jose_service_pb2.DecryptJweRequest(name=resource_name(key), jwe=jwe)
        response = self._call(self.jose.DecryptJwe, request)
        wire.check_name(request.name, response.name)
        return DecryptedJwe(
            response.plaintext,
            response.protected_header,
            response.name,
            from_wire(Algorithm, response.algorithm),
            from_wire(ContentEncryption, response.content_encryption),
        )

    # The daemon itself

    def health(self, service: str = "") -> HealthStatus:
        """Whether the daemon is ready, or one of its services, such as `chancery.v1.SigningService`."""
        response = self._call(self._health.Check, health_pb2.HealthCheckRequest(service=service))
        return HealthStatus(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))

    def _call(self, method: Any, request: Any) -> Any:
        with translated():
            return method(request, timeout=self._timeout)


class _Outgoing(Iterator[Any]):
    """Messages on their way out. gRPC cancels the call if the caller's iterable fails; this remembers why."""

    def __init__(self, messages: Iterator[Any]) -> None:
        self._messages = messages
        self.failure: Optional[Exception] = None

    def __next__(self) -> Any:
        try:
            return next(self._messages)
        except StopIteration:
            raise
        except Exception as failure:
            self.failure = failure
            raise


def _chunks_of(read: Callable[[int], bytes]) -> Iterator[bytes]:
    return iter(lambda: read(CHUNK_SIZE), b"")


# Bytes in one message of a chunked call; far below the 4 MiB at which gRPC refuses a message by default.
CHUNK_SIZE = 256 * 1024
