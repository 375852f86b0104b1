"""Trees, proofs and notes of the audit log, against values of Certificate Transparency, the RFC's definition, and Go's."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from chancery import IntegrityError, verify_note
from chancery.audit import leaf_hash, root_of_inclusion, roots_of_consistency

# The leaves and roots of the reference tests of Certificate Transparency (merkletree/merkle_tree_test.cc).
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def tree(leaves):
    """RFC 6962 section 2.1, word for word."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    half = split(len(leaves))
    return hashlib.sha256(b"\1" + tree(leaves[:half]) + tree(leaves[half:])).digest()


def split(count):
    half = 1
    while half * 2 < count:
        half *= 2
    return half


def path(index, leaves):
    """RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    half = split(len(leaves))
    if index < half:
        return [*path(index, leaves[:half]), tree(leaves[half:])]
    return [*path(index - half, leaves[half:]), tree(leaves[:half])]


def proof(old, leaves, whole=True):
    """RFC 6962 section 2.1.2."""
    if old == len(leaves):
        return [] if whole else [tree(leaves)]
    half = split(len(leaves))
    if old <= half:
        return [*proof(old, leaves[:half], whole), tree(leaves[half:])]
    return [*proof(old - half, leaves[half:], False), tree(leaves[:half])]


@pytest.mark.parametrize("size", ROOTS)
def test_roots_are_those_of_certificate_transparency(size):
    for index in range(size):
        found = root_of_inclusion(leaf_hash(LEAVES[index]), index, size, path(index, LEAVES[:size]))
        assert found.hex() == ROOTS[size]


def test_all_proofs_of_small_trees_hold_and_no_other():
    leaves = [b"%d" % number for number in range(34)]
    for size in range(1, len(leaves) + 1):
        root = tree(leaves[:size])
        for index in range(size):
            right = path(index, leaves[:size])
            leaf = leaf_hash(leaves[index])
            assert root_of_inclusion(leaf, index, size, right) == root
            assert root_of_inclusion(leaf, index, size, [*right, bytes(32)]) is None
            if right:
                assert root_of_inclusion(leaf, index, size, right[:-1]) is None
                assert root_of_inclusion(leaf, index ^ 1, size, right) != root
        assert root_of_inclusion(leaf_hash(leaves[0]), size, size, []) is None
        for old in range(1, size + 1):
            right = proof(old, leaves[:size])
            older = tree(leaves[:old])
            assert roots_of_consistency(old, size, older, right) == (older, root)
            assert roots_of_consistency(old, size, older, [*right, bytes(32)]) != (older, root)
            if right:
                assert roots_of_consistency(old, size, older, right[:-1]) != (older, root)
                assert roots_of_consistency(old, size, bytes(32), right) != (bytes(32), root)


def test_a_note_of_another_program_verifies_and_no_other():
    file = Path(__file__).parents[3] / "tests" / "testdata" / "audit" / "tlog.json"
    given = json.loads(file.read_text())
    checkpoint = verify_note(given["note"], given["vkey"])
    assert checkpoint.tree_size == 600
    note = given["note"]
    for wrong in (note.replace("600", "601"), note.replace("\u2014 ", "- "), note.replace("/test\n6", "/other\n6"), ""):
        with pytest.raises(IntegrityError):
            verify_note(wrong, given["vkey"])
