"""The audit log: what it says, the calls that read it, and the proofs that nothing of it was changed."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Iterator, Optional, Sequence, Tuple, Union

from chancery._generated.chancery.v1 import audit_service_pb2 as pb
from chancery.algorithms import Algorithm, known_from_wire
from chancery.errors import IntegrityError
from chancery.names import resource_name


@dataclass(frozen=True)
class AuditRecord:
    """One record. `line` is the record, byte for byte; all else says what is in it, as far as it has it.

    `kind` and `result` are such as INTENT, DENIED and SUCCEEDED; `input_hash_kind` is sha256, hmac_sha256 or empty.
    """

    sequence: int
    time: datetime
    line: bytes
    kind: str
    identity: str
    certificate_sha256: bytes
    call: str
    operation: str
    key: str
    algorithms: Tuple[Algorithm, ...]
    partner: str
    scheme: str
    act: str
    rule: str
    result: str
    reason: str
    intent: Optional[int]
    input_hash_kind: str
    input_hash: bytes
    signature_sha256: bytes
    public_key_sha256: bytes


@dataclass(frozen=True)
class AuditCheckpoint:
    """How many records there were, and the root of their tree; `note` is the signed text."""

    note: str
    origin: str
    tree_size: int
    root_hash: bytes


@dataclass(frozen=True)
class ProvenRecord:
    """A record, and that it is in the log of `checkpoint`, which was checked; without `hashes` it is not proven yet."""

    record: AuditRecord
    hashes: Optional[Tuple[bytes, ...]]
    checkpoint: Optional[AuditCheckpoint]


@dataclass(frozen=True)
class AuditState:
    """The last checkpoint, the public key that the daemon says it is signed with, and how much of a log there is."""

    checkpoint: Optional[AuditCheckpoint]
    vkey: str
    record_count: int
    first_sequence: int


class AuditCalls:
    """The calls of AuditService; `Client` has them."""

    audit: Any

    def _call(self, method: Any, request: Any) -> Any:
        raise NotImplementedError

    def list_audit_records(
        self,
        *,
        identity: str = "",
        key: str = "",
        partner: str = "",
        operation: str = "",
        kind: str = "",
        result: str = "",
        start_time: Optional[datetime] = None,
        end_time: Optional[datetime] = None,
        start_sequence: Optional[int] = None,
        end_sequence: Optional[int] = None,
        newest_first: bool = False,
        page_size: int = 0,
    ) -> Iterator[AuditRecord]:
        """The records of which all this is true, over every page; none that is made while they are read."""
        request = pb.ListAuditRecordsRequest(
            page_size=page_size,
            order=pb.AUDIT_ORDER_NEWEST_FIRST if newest_first else pb.AUDIT_ORDER_OLDEST_FIRST,
            identity=identity,
            key=resource_name(key) if key else "",
            partner=partner if not partner or partner.startswith("partners/") else f"partners/{partner}",
            operation=operation,
            kind=_KIND + kind.upper() if kind else None,
            result=_RESULT + result.upper() if result else None,
            start_sequence=start_sequence,
            end_sequence=end_sequence,
        )
        for time, field in ((start_time, request.start_time), (end_time, request.end_time)):
            if time is not None:
                field.FromDatetime(time)
        while True:
            page = self._call(self.audit.ListAuditRecords, request)
            yield from (_record(message) for message in page.records)
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def get_audit_record(self, sequence: int) -> ProvenRecord:
        """One record, and the proof that it is in the log. The proof is checked here: IntegrityError if it is none."""
        request = pb.GetAuditRecordRequest(name=f"auditRecords/{sequence}")
        answer = self._call(self.audit.GetAuditRecord, request)
        record = _record(answer.record)
        checkpoint = _checkpoint(answer.checkpoint) if answer.HasField("checkpoint") else None
        if not answer.HasField("inclusion_proof") or checkpoint is None:
            return ProvenRecord(record, None, checkpoint)
        hashes = tuple(answer.inclusion_proof.hashes)
        found = root_of_inclusion(leaf_hash(record.line), sequence, checkpoint.tree_size, hashes)
        if record.sequence != sequence or found != checkpoint.root_hash:
            raise _not_proven(f"the proof does not lead from record {sequence} to the checkpoint's root")
        return ProvenRecord(record, hashes, checkpoint)

    def get_audit_checkpoint(self) -> AuditState:
        """How the log stands."""
        answer = self._call(self.audit.GetAuditCheckpoint, pb.GetAuditCheckpointRequest())
        checkpoint = _checkpoint(answer.checkpoint) if answer.HasField("checkpoint") else None
        return AuditState(checkpoint, answer.vkey, answer.record_count, answer.first_sequence)

    def get_audit_consistency_proof(self, older: Union[AuditCheckpoint, str]) -> AuditCheckpoint:
        """The last checkpoint, if its log begins with that of an older one, or of its note; else IntegrityError."""
        old = older if isinstance(older, AuditCheckpoint) else checkpoint_of_note(older)
        request = pb.GetAuditConsistencyProofRequest(old_tree_size=old.tree_size)
        answer = self._call(self.audit.GetAuditConsistencyProof, request)
        new = _checkpoint(answer.checkpoint)
        if old.origin != new.origin:
            raise _not_proven(f"the older checkpoint is of {old.origin}, the log is {new.origin}")
        roots = roots_of_consistency(old.tree_size, new.tree_size, old.root_hash, tuple(answer.hashes))
        if roots != (old.root_hash, new.root_hash):
            raise _not_proven(
                f"the log of {new.tree_size} records does not begin with the {old.tree_size} of the older checkpoint"
            )
        return new


def leaf_hash(line: bytes) -> bytes:
    """The hash of a record in the tree (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\0" + line).digest()


def root_of_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> Optional[bytes]:
    """The root that a path leads to (RFC 9162 section 2.1.3.2); None if it has the wrong length."""
    if not 0 <= index < size:
        return None
    node, last, root = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if node % 2 or node == last:
            root = _node(sibling, root)
            while node % 2 == 0 and node != 0:
                node, last = node >> 1, last >> 1
        else:
            root = _node(root, sibling)
        node, last = node >> 1, last >> 1
    return root if last == 0 else None


def roots_of_consistency(
    old_size: int, new_size: int, old_root: bytes, path: Sequence[bytes]
) -> Optional[Tuple[bytes, bytes]]:
    """The roots, old and new, that a path leads to (RFC 9162 section 2.1.4.2); None if it has the wrong length."""
    if not 0 < old_size <= new_size:
        return None
    if old_size == new_size:
        return (old_root, old_root) if not path else None
    if not path:
        return None
    steps = list(path)
    if old_size & (old_size - 1) == 0:
        steps.insert(0, old_root)
    node, last = old_size - 1, new_size - 1
    while node % 2:
        node, last = node >> 1, last >> 1
    old = new = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            return None
        if node % 2 or node == last:
            old, new = _node(sibling, old), _node(sibling, new)
            while node % 2 == 0 and node != 0:
                node, last = node >> 1, last >> 1
        else:
            new = _node(new, sibling)
        node, last = node >> 1, last >> 1
    return (old, new) if last == 0 else None


def checkpoint_of_note(note: str) -> AuditCheckpoint:
    """What a checkpoint's note says; nothing vouches for it before `verify_note`."""
    try:
        origin, size, root = note.split("\n")[:3]
        return AuditCheckpoint(note, origin, int(size), base64.b64decode(root, validate=True))
    except ValueError as error:
        raise _not_proven("not a checkpoint: expected the lines origin, size and root") from error


def verify_note(note: str, vkey: str) -> AuditCheckpoint:
    """What a checkpoint's note says, if `vkey` (NAME+ID+KEY) signed it; else IntegrityError. Needs `[cryptography]`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    name, _, key_text = vkey.strip().split("+", 2)
    key = base64.b64decode(key_text)
    key_id = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
    body, _, signatures = note.rpartition("\n\n")
    for line in signatures.splitlines():
        signer, _, encoded = line.removeprefix("\u2014 ").partition(" ") if line.startswith("\u2014 ") else ("", "", "")
        signature = base64.b64decode(encoded)
        if signer != name or signature[:4] != key_id or key[:1] != b"\x01":
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], (body + "\n").encode())
        except InvalidSignature as error:
            raise _not_proven("the checkpoint's signature is not valid") from error
        checkpoint = checkpoint_of_note(note)
        if checkpoint.origin != name:
            raise _not_proven("the checkpoint is of another log")
        return checkpoint
    raise _not_proven("the checkpoint is not signed by this key")


def _not_proven(message: str) -> IntegrityError:
    return IntegrityError("AUDIT_NOT_PROVEN", message)


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _record(message: Any) -> AuditRecord:
    subject, hash_kind = message.subject, message.input.WhichOneof("hash") or ""
    return AuditRecord(
        sequence=message.sequence,
        time=message.record_time.ToDatetime(tzinfo=timezone.utc),
        line=message.line,
        kind=_word(pb.AuditEventKind, message.kind, _KIND),
        identity=message.caller.identity,
        certificate_sha256=message.caller.certificate_sha256,
        call=message.call,
        operation=subject.operation,
        key=subject.key,
        algorithms=known_from_wire(Algorithm, subject.algorithms),
        partner=subject.partner,
        scheme=subject.scheme,
        act=subject.act,
        rule=message.rule,
        result=_word(pb.AuditResult, message.result, _RESULT),
        reason=message.reason,
        intent=message.intent if message.HasField("intent") else None,
        input_hash_kind=hash_kind,
        input_hash=getattr(message.input, hash_kind) if hash_kind else b"",
        signature_sha256=message.signature_sha256,
        public_key_sha256=message.public_key_sha256,
    )


def _checkpoint(message: Any) -> AuditCheckpoint:
    checkpoint = AuditCheckpoint(message.note, message.origin, message.tree_size, message.root_hash)
    # The note is what is signed: nothing else may say otherwise.
    if checkpoint != checkpoint_of_note(message.note):
        raise _not_proven("the checkpoint's fields are not those of its note")
    return checkpoint


def _word(enum: Any, number: int, prefix: str) -> str:
    """The name of a value; empty if there is none, or none that this client knows."""
    if number == 0 or number not in enum.values():
        return ""
    return str(enum.Name(number)).replace(prefix, "", 1)


_KIND, _RESULT = "AUDIT_EVENT_KIND_", "AUDIT_RESULT_"
