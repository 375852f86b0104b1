"""A daemon of the tests' own: keys in memory, the real protocol, and faults on demand."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
import uuid
from concurrent import futures
from pathlib import Path

import google_crc32c
import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509.oid import NameOID
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from jwcrypto import jwe, jwk, jws

from chancery._generated.chancery.v1 import (
    approval_service_pb2,
    approval_service_pb2_grpc,
    jose_service_pb2,
    jose_service_pb2_grpc,
    key_service_pb2,
    key_service_pb2_grpc,
    resources_pb2,
    signing_service_pb2,
    signing_service_pb2_grpc,
)


class Refusal(Exception):
    """What a call ends with."""

    def __init__(self, code, reason, message, **metadata):
        super().__init__(message)
        self.code, self.reason, self.message, self.metadata = code, reason, message, metadata


class FakeDaemon:
    """Keys `rsa`, `ec` and `mac`, versions 1 and 2 (primary); `secret-*` is refused to everyone."""

    def __init__(self):
        self.keys = {
            "rsa": [rsa.generate_private_key(65537, 2048) for _ in range(2)],
            "ec": [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)],
            "mac": [os.urandom(32) for _ in range(2)],
        }
        self.created = []
        self.proposals = []  # the latest first
        self.unavailable = 0  # how many calls shall still fail
        self.calls = 0
        self.damage = None  # changes a response before it is sent
        self.complete_messages = 0  # chunked messages that came to their end
        self.grace = 0.0  # seconds to wait for news of a cancelled call, which may come after the last chunk

    def serve(self, ca: Path, certificate: Path, key: Path):
        """Starts it on a port of its own; gives the server and the port."""
        server = grpc.server(
            futures.ThreadPoolExecutor(8),
            options=[("grpc.max_receive_message_length", 16 << 20), ("grpc.so_reuseport", 0)],
        )
        key_service_pb2_grpc.add_KeyServiceServicer_to_server(_KeyService(self), server)
        approval_service_pb2_grpc.add_ApprovalServiceServicer_to_server(_ApprovalService(self), server)
        signing_service_pb2_grpc.add_SigningServiceServicer_to_server(_SigningService(self), server)
        jose_service_pb2_grpc.add_JoseServiceServicer_to_server(_JoseService(self), server)
        checks = health.HealthServicer()
        checks.set("", health_pb2.HealthCheckResponse.SERVING)
        checks.set("chancery.v1.SigningService", health_pb2.HealthCheckResponse.NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        credentials = grpc.ssl_server_credentials(
            [(key.read_bytes(), certificate.read_bytes())], ca.read_bytes(), require_client_auth=True
        )
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        return server, port

    def answer(self, context, work):
        """Runs `work`, with the faults that were asked for; a Refusal becomes a google.rpc.Status."""
        self.calls += 1
        try:
            if self.unavailable > 0:
                self.unavailable -= 1
                raise Refusal(grpc.StatusCode.UNAVAILABLE, "TOKEN_UNAVAILABLE", "the token is gone")
            response = work()
        except Refusal as refusal:
            abort(context, refusal)
        if self.damage is not None:
            self.damage(response)
        return response

    def find(self, name):
        """The private key for a resource name, and the name of its version."""
        parts = name.split("/")
        if parts[0] != "keys" or len(parts) not in (2, 4):
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME", f"not a key: {name}")
        versions = self.keys.get(parts[1])
        if versions is None:
            raise Refusal(grpc.StatusCode.PERMISSION_DENIED, "DENIED", "not allowed", key=parts[1])
        version = int(parts[3]) if len(parts) == 4 else len(versions)
        return versions[version - 1], f"keys/{parts[1]}/versions/{version}"

    def sign(self, request):
        """Answers one SignRequest."""
        key, name = self.find(request.name)
        algorithm = resources_pb2.Algorithm.Name(request.algorithm).removeprefix("ALGORITHM_")
        data, prehashed = _input(request)
        if request.HasField("input_crc32c") and request.input_crc32c != google_crc32c.value(data):
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "CRC32C_MISMATCH", "damaged")
        signature = _sign(key, algorithm, data, prehashed, request.ecdsa_encoding)
        return signing_service_pb2.SignResponse(
            signature=signature,
            name=name,
            algorithm=request.algorithm,
            signature_crc32c=google_crc32c.value(signature),
            verified_input_crc32c=request.HasField("input_crc32c"),
        )

    def result(self, request):
        """Answers one SignRequest of several."""
        try:
            return signing_service_pb2.SignResult(response=self.sign(request))
        except Refusal as refusal:
            error = signing_service_pb2.ItemError(
                code=refusal.code.value[0],
                message=refusal.message,
                reason=refusal.reason,
                metadata=refusal.metadata,
            )
            return signing_service_pb2.SignResult(error=error)


class _KeyService(key_service_pb2_grpc.KeyServiceServicer):
    def __init__(self, daemon):
        self.daemon = daemon

    def CreateKey(self, request, context):
        def work():
            key = resources_pb2.Key(
                name=f"keys/{request.key_id}",
                token=request.token or "main",
                type=request.type,
                purpose=request.purpose,
                algorithms=request.algorithms,
                content_encryptions=request.content_encryptions,
                compression_allowed=request.compression_allowed,
                primary_version=f"keys/{request.key_id}/versions/1",
            )
            version = key.versions.add(name=key.primary_version, thumbprint="t")
            version.attributes.local = True
            version.attributes.extractable = False
            self.daemon.created.append(key)
            return key_service_pb2.CreateKeyResponse(key=key)

        return self.daemon.answer(context, work)

    def _change(self, context, name, change):
        def work():
            for key in self.daemon.created:
                if key.name == "/".join(name.split("/")[:2]):
                    change(key)
                    return key
            raise Refusal(grpc.StatusCode.PERMISSION_DENIED, "DENIED", "not allowed")

        return self.daemon.answer(context, work)

    def CreateKeyVersion(self, request, context):
        def change(key):
            name = f"{key.name}/versions/{len(key.versions) + 1}"
            version = resources_pb2.KeyVersion(name=name, state=resources_pb2.KEY_VERSION_STATE_ENABLED)
            version.create_time.seconds = 1_700_000_000
            versions = [version, *key.versions]
            del key.versions[:]
            key.versions.extend(versions)
            if request.make_primary:
                key.primary_version = name

        key = self._change(context, request.name, change)
        return key_service_pb2.CreateKeyVersionResponse(key=key)

    def UpdateKey(self, request, context):
        def change(key):
            mask = request.update_mask.paths
            if "labels" in mask:
                key.labels.clear()
            request.update_mask.MergeMessage(request.key, key, replace_message_field=True, replace_repeated_field=True)

        return key_service_pb2.UpdateKeyResponse(key=self._change(context, request.key.name, change))

    def _state(self, context, name, state):
        def change(key):
            for version in key.versions:
                if version.name == name:
                    version.state = state

        return self._change(context, name, change)

    def UpdateKeyVersion(self, request, context):
        assert request.update_mask.paths == ["state"]
        key = self._state(context, request.key_version.name, request.key_version.state)
        return key_service_pb2.UpdateKeyVersionResponse(key=key)

    def DestroyKeyVersion(self, request, context):
        key = self._state(context, request.name, resources_pb2.KEY_VERSION_STATE_DESTROY_SCHEDULED)
        return key_service_pb2.DestroyKeyVersionResponse(key=key)

    def RestoreKeyVersion(self, request, context):
        key = self._state(context, request.name, resources_pb2.KEY_VERSION_STATE_DISABLED)
        return key_service_pb2.RestoreKeyVersionResponse(key=key)

    def GetKey(self, request, context):
        def work():
            for key in self.daemon.created:
                if key.name == request.name:
                    return key_service_pb2.GetKeyResponse(key=key)
            raise Refusal(grpc.StatusCode.PERMISSION_DENIED, "DENIED", "not allowed")

        return self.daemon.answer(context, work)

    def ListKeys(self, request, context):
        def work():
            start = int(request.page_token or 0)
            end = start + (request.page_size or 100)
            keys = sorted(self.daemon.created, key=lambda key: key.name)
            token = str(end) if end < len(keys) else ""
            return key_service_pb2.ListKeysResponse(keys=keys[start:end], next_page_token=token)

        return self.daemon.answer(context, work)

    def GetPublicKey(self, request, context):
        def work():
            key, name = self.daemon.find(request.name)
            public = key.public_key()
            form = serialization.PublicFormat.SubjectPublicKeyInfo
            pem = public.public_bytes(serialization.Encoding.PEM, form)
            as_jwk = jwk.JWK.from_pem(pem)
            return key_service_pb2.GetPublicKeyResponse(
                name=name,
                pem=pem,
                der=public.public_bytes(serialization.Encoding.DER, form),
                jwk=as_jwk.export_public(),
                thumbprint=as_jwk.thumbprint(),
            )

        return self.daemon.answer(context, work)

    def GetJwks(self, request, context):
        def work():
            keys = [self.daemon.find(f"keys/{name}")[0] for name in ("rsa", "ec")]
            documents = [jwk.JWK.from_pyca(key).export_public(as_dict=True) for key in keys]
            return key_service_pb2.GetJwksResponse(jwks=json.dumps({"keys": documents}))

        return self.daemon.answer(context, work)

    def CreateCertificateRequest(self, request, context):
        def work():
            key, name = self.daemon.find(request.name)
            kinds = {"CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME}
            subject = [x509.NameAttribute(kinds[part.type], part.value) for part in request.subject]
            names = [x509.DNSName(value) for value in request.dns_names]
            names += [x509.UniformResourceIdentifier(value) for value in request.uris]
            csr = (
                x509.CertificateSigningRequestBuilder()
                .subject_name(x509.Name(subject))
                .add_extension(x509.SubjectAlternativeName(names), critical=False)
                .sign(key, hashes.SHA256())
            )
            return key_service_pb2.CreateCertificateRequestResponse(
                pem=csr.public_bytes(serialization.Encoding.PEM),
                der=csr.public_bytes(serialization.Encoding.DER),
                name=name,
            )

        return self.daemon.answer(context, work)

    def GenerateRandom(self, request, context):
        def work():
            data = os.urandom(request.length)
            return key_service_pb2.GenerateRandomResponse(data=data, data_crc32c=google_crc32c.value(data))

        return self.daemon.answer(context, work)


class _ApprovalService(approval_service_pb2_grpc.ApprovalServiceServicer):
    def __init__(self, daemon):
        self.daemon = daemon

    def _turn(self, context, name, answer, turn=lambda proposal: None):
        def work():
            for proposal in self.daemon.proposals:
                if proposal.name == name:
                    turn(proposal)
                    return answer(proposal=proposal)
            raise Refusal(grpc.StatusCode.NOT_FOUND, "PROPOSAL_NOT_FOUND", "there is none")

        return self.daemon.answer(context, work)

    def CreateProposal(self, request, context):
        def work():
            name = f"proposals/{uuid.uuid4()}"
            proposal = approval_service_pb2.Proposal(name=name, act=request.act, state=1, required_approvals=1)
            proposal.create_time.GetCurrentTime()
            self.daemon.proposals.insert(0, proposal)
            return approval_service_pb2.CreateProposalResponse(proposal=proposal)

        return self.daemon.answer(context, work)

    def GetProposal(self, request, context):
        return self._turn(context, request.name, approval_service_pb2.GetProposalResponse)

    def ListProposals(self, request, context):
        def work():
            start = int(request.page_token or 0)
            end = start + request.page_size
            states = set(request.states)
            wanted = [one for one in self.daemon.proposals if not states or one.state in states]
            more = str(end) if end < len(wanted) else ""
            page = wanted[start:end]
            return approval_service_pb2.ListProposalsResponse(proposals=page, next_page_token=more)

        return self.daemon.answer(context, work)

    def ApproveProposal(self, request, context):
        def turn(proposal):
            proposal.given_approvals.add(approver="spiffe://test/other")
            proposal.state = approval_service_pb2.PROPOSAL_STATE_APPROVED

        return self._turn(context, request.name, approval_service_pb2.ApproveProposalResponse, turn)

    def WithdrawProposal(self, request, context):
        def turn(proposal):
            proposal.state = approval_service_pb2.PROPOSAL_STATE_WITHDRAWN

        return self._turn(context, request.name, approval_service_pb2.WithdrawProposalResponse, turn)

    def ExecuteProposal(self, request, context):
        key = resources_pb2.Key(name="keys/root", critical=True)

        def turn(proposal):
            if proposal.state != approval_service_pb2.PROPOSAL_STATE_APPROVED:
                raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "PROPOSAL_UNAPPROVED", "too few")
            proposal.outcome = "SUCCEEDED"
            proposal.state = approval_service_pb2.PROPOSAL_STATE_SUCCEEDED

        def answer(proposal):
            return approval_service_pb2.ExecuteProposalResponse(proposal=proposal, key=key)

        return self._turn(context, request.name, answer, turn)


class _SigningService(signing_service_pb2_grpc.SigningServiceServicer):
    def __init__(self, daemon):
        self.daemon = daemon

    def Sign(self, request, context):
        return self.daemon.answer(context, lambda: self.daemon.sign(request))

    def Verify(self, request, context):
        def work():
            key, name = self.daemon.find(request.name)
            algorithm = resources_pb2.Algorithm.Name(request.algorithm).removeprefix("ALGORITHM_")
            data, prehashed = _input(request)
            valid = _verify(key, algorithm, data, prehashed, request.signature, request.ecdsa_encoding)
            return signing_service_pb2.VerifyResponse(
                valid=valid,
                name=name if valid else "",
                algorithm=request.algorithm,
                verified_input_crc32c=request.input_crc32c == google_crc32c.value(data),
            )

        return self.daemon.answer(context, work)

    def BatchSign(self, request, context):
        def work():
            return signing_service_pb2.BatchSignResponse(
                results=[self.daemon.result(item) for item in request.requests]
            )

        return self.daemon.answer(context, work)

    def SignChunks(self, requests, context):
        def work():
            header = next(requests).header
            message = b"".join(request.chunk for request in requests)
            time.sleep(self.daemon.grace)
            if not context.is_active():
                raise Refusal(grpc.StatusCode.CANCELLED, "CANCELLED", "the caller went away")
            self.daemon.complete_messages += 1
            crc = header.message_crc32c if header.HasField("message_crc32c") else None
            signed = self.daemon.sign(
                signing_service_pb2.SignRequest(
                    name=header.name,
                    algorithm=header.algorithm,
                    message=message,
                    input_crc32c=crc,
                    ecdsa_encoding=header.ecdsa_encoding,
                )
            )
            return signing_service_pb2.SignChunksResponse(
                signature=signed.signature,
                name=signed.name,
                algorithm=signed.algorithm,
                signature_crc32c=signed.signature_crc32c,
                verified_message_crc32c=signed.verified_input_crc32c,
                message_length=len(message),
            )

        return self.daemon.answer(context, work)

    def StreamSign(self, requests, context):
        for request in requests:
            yield signing_service_pb2.StreamSignResponse(id=request.id, result=self.daemon.result(request.request))


class _JoseService(jose_service_pb2_grpc.JoseServiceServicer):
    def __init__(self, daemon):
        self.daemon = daemon

    def _jwk(self, name):
        key, version = self.daemon.find(name)
        return jwk.JWK.from_pyca(key), version

    def SignJws(self, request, context):
        def work():
            key, version = self._jwk(request.name)
            header = json.loads(request.protected_header or "{}")
            header["alg"] = resources_pb2.Algorithm.Name(request.algorithm).removeprefix("ALGORITHM_")
            token = jws.JWS(request.payload)
            token.add_signature(key, protected=json.dumps(header), header=request.unprotected_header or None)
            compact = request.serialization == jose_service_pb2.SERIALIZATION_COMPACT
            if request.detached:
                token.detach_payload()
            return jose_service_pb2.SignJwsResponse(
                jws=token.serialize(compact=compact), name=version, algorithm=request.algorithm
            )

        return self.daemon.answer(context, work)

    def VerifyJws(self, request, context):
        def work():
            key, version = self._jwk(request.name)
            token = jws.JWS()
            token.deserialize(request.jws)
            payload = request.detached_payload if request.HasField("detached_payload") else None
            try:
                token.verify(key, detached_payload=payload)
            except jws.InvalidJWSSignature:
                return jose_service_pb2.VerifyJwsResponse(valid=False)
            return jose_service_pb2.VerifyJwsResponse(
                valid=True,
                payload=payload or token.payload,
                protected_header=json.dumps(token.jose_header),
                name=version,
                algorithm=resources_pb2.Algorithm.Value("ALGORITHM_" + token.jose_header["alg"]),
            )

        return self.daemon.answer(context, work)

    def EncryptJwe(self, request, context):
        def work():
            kind = request.WhichOneof("recipient")
            version = ""
            if kind == "jwk":
                recipient = jwk.JWK.from_json(request.jwk)
            elif kind == "pem":
                recipient = jwk.JWK.from_pem(request.pem.encode())
            else:
                recipient, version = self._jwk(request.name)
            header = json.loads(request.protected_header or "{}")
            header.update(alg="RSA-OAEP-256", enc="A256GCM")
            token = jwe.JWE(request.plaintext, json.dumps(header), recipient=recipient)
            return jose_service_pb2.EncryptJweResponse(jwe=token.serialize(compact=True), name=version)

        return self.daemon.answer(context, work)

    def DecryptJwe(self, request, context):
        def work():
            key, version = self._jwk(request.name)
            token = jwe.JWE()
            try:
                token.deserialize(request.jwe, key)
            except (jwe.InvalidJWEData, jwe.InvalidJWEOperation):
                raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "JWE_REFUSED", "can't be opened") from None
            return jose_service_pb2.DecryptJweResponse(
                plaintext=token.payload,
                protected_header=json.dumps(token.jose_header),
                name=version,
                algorithm=resources_pb2.ALGORITHM_RSA_OAEP_256,
                content_encryption=resources_pb2.CONTENT_ENCRYPTION_A256GCM,
            )

        return self.daemon.answer(context, work)


def abort(context, refusal):
    """Ends a call as the daemon does: status, and ErrorInfo in `grpc-status-details-bin`."""
    info = error_details_pb2.ErrorInfo(reason=refusal.reason, domain="chancery", metadata=refusal.metadata)
    detail = any_pb2.Any()
    detail.Pack(info)
    status = status_pb2.Status(code=refusal.code.value[0], message=refusal.message, details=[detail])
    context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
    context.abort(refusal.code, refusal.message)


def _input(request):
    given = [name for name in ("message", "digest") if request.HasField(name)]
    if len(given) != 1:
        raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "INPUT_NOT_ONE", f"expected one input, got {len(given)}")
    return getattr(request, given[0]), given == ["digest"]


def _sign(key, algorithm, data, prehashed, encoding):
    if algorithm == "UNSPECIFIED":
        raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "ALGORITHM_UNSPECIFIED", "name an algorithm")
    if algorithm.startswith("HS"):
        return hmac.digest(key, data, f"sha{algorithm[2:]}")
    hash_ = _hash(algorithm, prehashed)
    if algorithm.startswith("ES"):
        signature = key.sign(data, ec.ECDSA(hash_))
        if encoding == resources_pb2.ECDSA_ENCODING_UNSPECIFIED:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "ENCODING_UNSPECIFIED", "name an encoding")
        if encoding == resources_pb2.ECDSA_ENCODING_DER:
            return signature
        return b"".join(number.to_bytes(32, "big") for number in utils.decode_dss_signature(signature))
    return key.sign(data, _padding(algorithm), hash_)


def _verify(key, algorithm, data, prehashed, signature, encoding):
    if algorithm.startswith("HS"):
        return hmac.compare_digest(hmac.digest(key, data, f"sha{algorithm[2:]}"), signature)
    hash_ = _hash(algorithm, prehashed)
    try:
        if algorithm.startswith("ES"):
            if encoding == resources_pb2.ECDSA_ENCODING_RAW:
                halves = (signature[:32], signature[32:])
                signature = utils.encode_dss_signature(*(int.from_bytes(half, "big") for half in halves))
            key.public_key().verify(signature, data, ec.ECDSA(hash_))
        else:
            key.public_key().verify(signature, data, _padding(algorithm), hash_)
    except InvalidSignature:
        return False
    return True


def _padding(algorithm):
    if algorithm.startswith("RS"):
        return padding.PKCS1v15()
    size = int(algorithm[2:]) // 8
    return padding.PSS(padding.MGF1(getattr(hashes, f"SHA{algorithm[2:]}")()), size)


def _hash(algorithm, prehashed):
    hash_ = getattr(hashes, f"SHA{algorithm[2:]}")()
    return utils.Prehashed(hash_) if prehashed else hash_


def sha256(data):
    """A digest as callers make it."""
    return hashlib.sha256(data).digest()
