"""The audit log of a running daemon as an auditor reads it, every proof followed here with hashlib.

Needs what test_daemon.py needs, and in CHANCERY_TEST_AUDITOR_CERT and CHANCERY_TEST_AUDITOR_KEY the certificate of a
client that may read the log and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid

import pytest

from chancery import Client, Denied, EcdsaEncoding, InvalidArgument, NotFound, verify_note
from chancery.audit import leaf_hash
from chancery.connection import Settings

NAME = f"py-audit-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def client():
    with Client.from_environment(timeout=60.0) as client:
        client.create_key(NAME, type="EC_P256", purpose="SIGN", algorithms=["ES256"])
        yield client


@pytest.fixture(scope="module")
def auditor():
    settings = Settings.from_environment()
    leaf = os.environ["CHANCERY_TEST_AUDITOR_CERT"], os.environ["CHANCERY_TEST_AUDITOR_KEY"]
    with Client(settings.address, settings.ca, *leaf, timeout=60.0) as auditor:
        yield auditor


def test_what_was_signed_is_in_the_log_and_its_proof_holds(client, auditor):
    signature = client.sign(NAME, "ES256", message=b"pay 5 EUR", ecdsa_encoding=EcdsaEncoding.RAW).signature
    intent, outcome = list(auditor.list_audit_records(key=NAME, operation="sign"))
    assert (intent.kind, outcome.kind, outcome.result) == ("INTENT", "OUTCOME", "SUCCEEDED")
    assert (intent.key, intent.call, intent.rule) == (f"keys/{NAME}/versions/1", "SigningService.Sign", "python")
    assert intent.identity == "spiffe://test.chancery/python"
    assert intent.input_hash == hashlib.sha256(b"pay 5 EUR").digest()
    assert outcome.intent == intent.sequence
    assert outcome.signature_sha256 == hashlib.sha256(signature).digest()
    assert json.loads(intent.line)["event"]["intent"]["subject"]["key"] == NAME
    newest = next(auditor.list_audit_records(key=NAME, operation="sign", newest_first=True, page_size=1))
    assert newest == outcome

    deadline = time.monotonic() + 30
    proven = auditor.get_audit_record(outcome.sequence)
    while proven.hashes is None:
        assert time.monotonic() < deadline, "no checkpoint covers it"
        time.sleep(0.1)
        proven = auditor.get_audit_record(outcome.sequence)
    assert proven.record == outcome
    state = auditor.get_audit_checkpoint()
    note = verify_note(proven.checkpoint.note, state.vkey)
    root = _root(leaf_hash(outcome.line), outcome.sequence, note.tree_size, proven.hashes)
    assert root == note.root_hash
    assert note.tree_size <= state.record_count

    # The next checkpoint's log begins with this one's.
    while auditor.get_audit_checkpoint().checkpoint == proven.checkpoint:
        assert time.monotonic() < deadline, "there is no next checkpoint"
        time.sleep(0.1)
    newer = auditor.get_audit_consistency_proof(proven.checkpoint)
    assert newer.tree_size > proven.checkpoint.tree_size
    assert verify_note(newer.note, state.vkey) == newer


def _root(leaf, index, size, path):
    """By recursion, as RFC 6962 section 2.1 defines the tree."""
    if not path:
        assert size == 1
        return leaf
    half = 1 << ((size - 1).bit_length() - 1)
    left = index < half
    below = _root(leaf, index if left else index - half, half if left else size - half, path[:-1])
    pair = below + path[-1] if left else path[-1] + below
    return hashlib.sha256(b"\1" + pair).digest()


def test_all_pages_are_all_records(auditor):
    end = auditor.get_audit_checkpoint().record_count
    for newest_first in (False, True):
        records = auditor.list_audit_records(page_size=3, end_sequence=end, newest_first=newest_first)
        numbers = [record.sequence for record in records]
        assert numbers == sorted(range(end), reverse=newest_first)


def test_who_signs_does_not_read_and_who_reads_does_not_sign(client, auditor):
    with pytest.raises(Denied):
        next(client.list_audit_records())
    with pytest.raises(Denied):
        client.get_audit_checkpoint()
    with pytest.raises(Denied):
        auditor.sign(NAME, "ES256", message=b"pay me", ecdsa_encoding=EcdsaEncoding.RAW)
    denied = auditor.list_audit_records(identity="spiffe://test.chancery/python", operation="read_audit")
    assert [record.result for record in denied] == ["DENIED", "DENIED"]


def test_what_is_not_there_has_a_reason(auditor):
    with pytest.raises(NotFound) as caught:
        auditor.get_audit_record(1 << 40)
    assert caught.value.reason == "AUDIT_RECORD_NOT_FOUND"
    with pytest.raises(InvalidArgument) as caught:
        next(auditor.list_audit_records(operation="signs"))
    assert caught.value.reason == "AUDIT_FILTER_INVALID"
