"""The client against a daemon of the tests' own, in this process, over mutual TLS."""

from __future__ import annotations

import copy
import datetime
import filecmp
import hmac
import os
import subprocess
import sys
import time
from pathlib import Path

import grpc
import jwt
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.x509.oid import NameOID
from fake_daemon import FakeDaemon, sha256
from jwcrypto import jwe, jwk, jws
from pki import Authority

import chancery
from chancery import (
    Algorithm,
    ChanceryError,
    Client,
    ConfigurationError,
    ContentEncryption,
    Denied,
    EcdsaEncoding,
    FailedPrecondition,
    HealthStatus,
    IntegrityError,
    InvalidArgument,
    KeyPurpose,
    KeyType,
    Serialization,
    Signature,
    SignItem,
    Unavailable,
    wire,
)
from chancery import algorithms as algorithms_module
from chancery._generated.chancery.v1 import signing_service_pb2
from chancery.connection import Settings
from chancery.cryptography_keys import private_key
from chancery.errors import translated
from chancery.names import resource_name

PACKAGE = Path(__file__).parent.parent
PROTO = PACKAGE.parent.parent / "proto" / "chancery" / "v1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def served(authority):
    daemon = FakeDaemon()
    server, port = daemon.serve(authority.ca, *authority.issue_server())
    yield daemon, port
    server.stop(0).wait()


@pytest.fixture
def daemon(served):
    fake = served[0]
    fake.unavailable, fake.calls, fake.damage, fake.complete_messages, fake.grace = 0, 0, None, 0, 0.0
    fake.created.clear()
    fake.proposals.clear()
    return fake


@pytest.fixture
def client(daemon, served, authority):
    with Client(f"localhost:{served[1]}", authority.ca, *authority.issue_client("spiffe://test/pay")) as client:
        yield client


def public_key(client, key):
    return serialization.load_pem_public_key(client.get_public_key(key).pem.encode())


# The vocabulary


def test_crc32c_is_castagnoli_and_can_be_carried_on():
    assert wire.crc32c(b"123456789") == 0xE3069283
    assert wire.crc32c(b"56789", wire.crc32c(b"1234")) == 0xE3069283


@pytest.mark.parametrize("kind", list(algorithms_module.WIRE), ids=lambda kind: kind.__name__)
def test_every_value_of_the_wire_has_a_member_and_the_other_way(kind):
    wire_enum, prefix = algorithms_module.WIRE[kind]
    named = {number for name, number in wire_enum.items() if name != f"{prefix}UNSPECIFIED"}
    assert {algorithms_module.to_wire(kind, member) for member in kind} == named
    for member in kind:
        assert algorithms_module.from_wire(kind, algorithms_module.to_wire(kind, member)) is member
    assert algorithms_module.from_wire(kind, 0) is None
    assert algorithms_module.known_from_wire(kind, [0, 9999]) == ()


def test_algorithms_have_their_jose_names():
    assert Algorithm("ECDH-ES+A128KW") is Algorithm.ECDH_ES_A128KW
    assert Algorithm("EdDSA") is Algorithm.EDDSA
    with pytest.raises(ValueError):
        algorithms_module.to_wire(Algorithm, "none")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("payouts", "keys/payouts"),
        ("payouts/2", "keys/payouts/versions/2"),
        ("a.b_c-D", "keys/a.b_c-D"),
        ("keys/payouts", "keys/payouts"),
        ("keys/payouts/versions/2", "keys/payouts/versions/2"),
    ],
)
def test_keys_can_be_named_three_ways(key, name):
    assert resource_name(key) == name


@pytest.mark.parametrize("key", ["", "/", "a/", "a/0", "a/x", "a/1/2", "-a", "a b", "a\n", "ä", "a" * 65])
def test_what_is_no_name_is_refused_before_it_is_sent(key):
    with pytest.raises(ValueError, match="expected a key"):
        resource_name(key)


def test_every_rpc_is_called_by_the_client():
    text = "".join(file.read_text() for file in (PACKAGE / "src" / "chancery").glob("*.py"))
    rooms = ("keys", "approvals", "signing", "jose", "platforms", "partners", "audit")
    rpcs = [
        line.split()[1].split("(")[0]
        for proto in PROTO.glob("*.proto")
        for line in proto.read_text().splitlines()
        if line.startswith("  rpc ")
    ]
    assert len(rpcs) >= 46
    assert [rpc for rpc in rpcs if not any(f".{room}.{rpc}" in text for room in rooms)] == []


def test_stubs_are_those_of_the_protocol(tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run([PACKAGE / "generate.sh", tmp_path], env=environment, check=True)
    new, old = tmp_path / "chancery" / "v1", PACKAGE / "src" / "chancery" / "_generated" / "chancery" / "v1"
    names = sorted(path.name for path in new.glob("*.py*"))
    assert names == sorted(path.name for path in old.glob("*.py*"))
    assert [name for name in names if not filecmp.cmp(new / name, old / name, shallow=False)] == []


# Approvals


def test_a_proposal_is_approved_and_executed(daemon, client):
    proposal = client.propose_critical_key("root", type="EC_P256", purpose="SIGN", algorithms=["ES256"])
    assert (proposal.act, proposal.state, proposal.required_approvals) == ("create_key", "PENDING", 1)
    assert proposal.content.critical
    assert proposal.content.key_id == "root"
    assert proposal.create_time.tzinfo is not None
    with pytest.raises(FailedPrecondition) as caught:
        client.execute_proposal(proposal)
    assert caught.value.reason == "PROPOSAL_UNAPPROVED"
    approved = client.approve_proposal(proposal)
    assert (approved.state, approved.given_approvals[0].approver) == ("APPROVED", "spiffe://test/other")
    assert client.execute_proposal(proposal.name).critical
    assert client.get_proposal(proposal.name.split("/")[1]).outcome == "SUCCEEDED"

    other = client.propose_key_destruction("root/1", etag="7")
    assert (other.content.name, other.content.etag) == ("keys/root/versions/1", "7")
    assert client.withdraw_proposal(other).state == "WITHDRAWN"
    policy = client.propose_policy(b"abc")
    # FIPS 180-4, the example of SHA-256.
    assert policy.content.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert [one.act for one in client.list_proposals(page_size=2)] == [
        "change_policy",
        "destroy_key_version",
        "create_key",
    ]
    ended = client.list_proposals(page_size=1, states=["withdrawn", "SUCCEEDED"])
    assert [one.state for one in ended] == ["WITHDRAWN", "SUCCEEDED"]
    with pytest.raises(ValueError):
        list(client.list_proposals(states=["done"]))


# Keys


def test_create_and_get_key(client):
    created = client.create_key(
        "inbox",
        type=KeyType.RSA_2048,
        purpose=KeyPurpose.DECRYPT,
        algorithms=["RSA-OAEP", Algorithm.RSA_OAEP_256],
        content_encryptions=[ContentEncryption.A256GCM],
        compression_allowed=True,
        token="main",
    )
    assert created == client.get_key("inbox")
    assert created.name == "keys/inbox"
    assert created.token == "main"
    assert created.type is KeyType.RSA_2048
    assert created.purpose is KeyPurpose.DECRYPT
    assert created.algorithms == (Algorithm.RSA_OAEP, Algorithm.RSA_OAEP_256)
    assert created.content_encryptions == (ContentEncryption.A256GCM,)
    assert created.compression_allowed
    (version,) = created.versions
    assert version.name == created.primary_version == "keys/inbox/versions/1"
    # What the token does not say is None, never False.
    assert (version.local, version.extractable, version.sensitive) == (True, False, None)


def test_the_life_of_a_key(client):
    client.create_key("life", type="EC_P256", purpose="SIGN", algorithms=["ES256"])
    rotated = client.create_key_version("life", make_primary=False)
    assert [version.name for version in rotated.versions] == ["keys/life/versions/2", "keys/life/versions/1"]
    assert rotated.primary_version == "keys/life/versions/1"
    assert rotated.versions[0].create_time.timestamp() == 1_700_000_000
    assert rotated.versions[1].create_time is None
    updated = client.update_key(
        "life", description="d", labels={"a": "b"}, primary_version="life/2", rotation_period_seconds=60
    )
    assert (updated.description, updated.labels) == ("d", {"a": "b"})
    assert (updated.primary_version, updated.rotation_period_seconds) == ("keys/life/versions/2", 60)
    states = [
        act("life/1").versions[1].state
        for act in (
            client.disable_key_version,
            client.enable_key_version,
            client.destroy_key_version,
            client.restore_key_version,
        )
    ]
    assert states == ["DISABLED", "ENABLED", "DESTROY_SCHEDULED", "DISABLED"]


def test_list_keys_goes_through_every_page(client, daemon):
    for number in range(5):
        client.create_key(f"k{number}", type="ED25519", purpose="SIGN", algorithms=["EdDSA"])
    daemon.calls = 0
    assert [key.name for key in client.list_keys(page_size=2)] == [f"keys/k{number}" for number in range(5)]
    assert daemon.calls == 3


def test_public_key_in_every_form(client):
    found = client.get_public_key("ec/1")
    assert found.key_version == "keys/ec/versions/1"
    assert found.jwk["crv"] == "P-256"
    assert "d" not in found.jwk
    key = serialization.load_der_public_key(found.der)
    assert key == serialization.load_pem_public_key(found.pem.encode())
    assert jwk.JWK(**found.jwk).thumbprint() == found.thumbprint


def test_jwks(client):
    assert [key["kty"] for key in client.jwks()["keys"]] == ["RSA", "EC"]


def test_certificate_request(client):
    made = client.create_certificate_request(
        "ec", "ES256", subject=[("O", "Example"), ("CN", "pay")], dns_names=["a.example"], uris=["spiffe://t/a"]
    )
    request = x509.load_pem_x509_csr(made.pem.encode())
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == "CN=pay,O=Example"
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example"]
    assert made.key_version == "keys/ec/versions/2"


def test_random(client, daemon):
    assert len(client.random(33)) == 33
    daemon.damage = lambda response: setattr(response, "data", b"0" * 33)
    with pytest.raises(IntegrityError):
        client.random(33)


# Signatures


def test_rsa_signature_of_message_and_of_digest(client):
    signed = client.sign("rsa", Algorithm.RS256, message=b"pay 5")
    assert signed.key_version == "keys/rsa/versions/2"
    assert signed.algorithm is Algorithm.RS256
    key = public_key(client, "rsa")
    key.verify(signed.signature, b"pay 5", padding.PKCS1v15(), hashes.SHA256())
    assert client.sign("rsa", "RS256", digest=sha256(b"pay 5")).signature == signed.signature


def test_ecdsa_in_both_encodings_and_verify(client):
    der = client.sign("ec/1", "ES256", message=b"m", ecdsa_encoding=EcdsaEncoding.DER).signature
    public_key(client, "ec/1").verify(der, b"m", ec.ECDSA(hashes.SHA256()))
    raw = client.sign("ec/1", "ES256", message=b"m", ecdsa_encoding=EcdsaEncoding.RAW).signature
    assert len(raw) == 64
    verdict = client.verify("ec/1", "ES256", raw, message=b"m", ecdsa_encoding=EcdsaEncoding.RAW)
    assert verdict and verdict.key_version == "keys/ec/versions/1"
    assert client.verify("ec/1", "ES256", der, digest=sha256(b"m"), ecdsa_encoding=EcdsaEncoding.DER)


def test_a_wrong_signature_gives_a_false_verdict(client):
    verdict = client.verify("rsa", "RS256", bytes(256), message=b"m")
    assert not verdict
    assert verdict.key_version == ""


def test_mac(client, daemon):
    mac = client.sign("mac", "HS256", message=b"").signature
    assert mac == hmac.digest(daemon.keys["mac"][1], b"", "sha256")
    assert client.verify("mac", "HS256", mac, message=b"")


def test_batch_gives_each_item_its_own_result(client):
    good = SignItem("mac", "HS256", message=b"1")
    results = client.sign_batch([good, SignItem("secret-1", "HS256", message=b"2"), good])
    assert isinstance(results[0], Signature) and results[0] == results[2]
    assert isinstance(results[1], Denied)
    assert (results[1].reason, results[1].metadata) == ("DENIED", {"key": "secret-1"})


def test_chunked_message_of_8_mib(client):
    message = os.urandom(8 << 20)
    # Parts of odd sizes, one of them larger than what gRPC takes in a message.
    parts = [message[:7], b"", message[7 : 6 << 20], message[6 << 20 :]]
    signed = client.sign_chunks("rsa", "RS256", parts)
    public_key(client, "rsa").verify(signed.signature, message, padding.PKCS1v15(), hashes.SHA256())
    checked = client.sign_chunks("rsa", "RS256", parts, message_crc32c=wire.crc32c(message))
    assert checked == signed
    with pytest.raises(InvalidArgument) as caught:
        client.sign_chunks("rsa", "RS256", parts, message_crc32c=1)
    assert caught.value.reason == "CRC32C_MISMATCH"


def test_file(client, tmp_path):
    file = tmp_path / "statement.csv"
    file.write_bytes(os.urandom(600_000))
    signed = client.sign_file("ec", "ES256", file, ecdsa_encoding=EcdsaEncoding.DER)
    public_key(client, "ec").verify(signed.signature, file.read_bytes(), ec.ECDSA(hashes.SHA256()))
    (tmp_path / "empty").touch()
    assert client.sign_file("mac", "HS256", tmp_path / "empty") == client.sign("mac", "HS256", message=b"")


def test_a_message_that_breaks_off_is_not_signed(client, daemon):
    def parts():
        yield b"half of"
        raise OSError("disk gone")

    daemon.grace = 0.3
    with pytest.raises(OSError, match="disk gone"):
        client.sign_chunks("mac", "HS256", parts())
    time.sleep(0.6)
    assert daemon.complete_messages == 0
    client.sign_chunks("mac", "HS256", [b"whole"])
    assert daemon.complete_messages == 1


def test_signed_length_is_checked(client, daemon):
    daemon.damage = lambda response: setattr(response, "message_length", 2)
    with pytest.raises(IntegrityError, match="sent 3 bytes, 2 were signed"):
        client.sign_chunks("mac", "HS256", [b"abc"])


def test_stream(client, daemon):
    items = [SignItem("mac", "HS256", message=b"%d" % number) for number in range(500)]
    items[7] = SignItem("secret-1", "HS256", message=b"7")
    results = dict(client.sign_stream(iter(items)))
    assert len(results) == 500
    assert isinstance(results.pop(7), Denied)
    for number, result in results.items():
        assert result.signature == hmac.digest(daemon.keys["mac"][1], b"%d" % number, "sha256")


def test_stream_can_be_left_early_and_tells_of_its_callers_fault(client):
    def endless():
        while True:
            yield SignItem("mac", "HS256", message=b"m")

    answers = client.sign_stream(endless())
    next(answers)
    answers.close()

    def broken():
        yield SignItem("mac", "HS256", message=b"m")
        raise KeyError("caller")

    with pytest.raises(KeyError, match="caller"):
        list(client.sign_stream(broken()))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("signature", b"damaged", "SIGNATURE_CRC32C_MISMATCH"),
        ("verified_input_crc32c", False, "INPUT_CRC32C_NOT_VERIFIED"),
        ("name", "keys/mac2/versions/1", "KEY_MISMATCH"),
        ("algorithm", 12, "ALGORITHM_MISMATCH"),
    ],
)
def test_an_answer_that_is_not_what_was_asked_for_is_refused(client, daemon, field, value, reason):
    daemon.damage = lambda response: setattr(response, field, value)
    with pytest.raises(IntegrityError) as caught:
        client.sign("mac", "HS256", message=b"m")
    assert caught.value.reason == reason


@pytest.mark.parametrize("method", ["key", "request", "verify", "sign_jws", "verify_jws", "decrypt_jwe"])
def test_an_answer_for_another_key_is_refused_in_every_call(client, daemon, method):
    mac = client.sign("mac", "HS256", message=b"m").signature
    token = client.sign_jws("rsa", "RS256", b"p").jws
    secret = client.encrypt_jwe(b"p", algorithm="RSA-OAEP-256", content_encryption="A256GCM", key="rsa").jwe
    call = {
        "key": lambda: client.get_public_key("rsa"),
        "request": lambda: client.create_certificate_request("rsa", "RS256"),
        "verify": lambda: client.verify("mac", "HS256", mac, message=b"m"),
        "sign_jws": lambda: client.sign_jws("rsa", "RS256", b"p"),
        "verify_jws": lambda: client.verify_jws("rsa", token),
        "decrypt_jwe": lambda: client.decrypt_jwe("rsa", secret),
    }[method]
    assert call()
    daemon.damage = lambda response: setattr(response, "name", "keys/other/versions/1")
    with pytest.raises(IntegrityError, match="KEY_MISMATCH"):
        call()


# JOSE


def test_jws_with_headers_and_serializations(client):
    made = client.sign_jws("ec", "ES256", b'{"a":1}', protected_header={"typ": "JWT"})
    token = jws.JWS()
    token.deserialize(made.jws, jwk.JWK(**client.get_public_key("ec").jwk))
    assert token.payload == b'{"a":1}'
    assert token.jose_header == {"alg": "ES256", "typ": "JWT"}
    verdict = client.verify_jws("ec", made.jws)
    assert verdict and verdict.payload == b'{"a":1}' and verdict.header["typ"] == "JWT"
    assert verdict.algorithm is Algorithm.ES256
    flat = client.sign_jws("ec", "ES256", b"p", serialization=Serialization.FLATTENED_JSON)
    assert client.verify_jws("ec", flat.jws).payload == b"p"
    detached = client.sign_jws("ec", "ES256", b"p", detached=True)
    assert ".." in detached.jws
    assert client.verify_jws("ec", detached.jws, detached_payload=b"p")
    assert not client.verify_jws("ec/1", made.jws)


def test_jwe_both_ways(client):
    recipient = jwk.JWK.generate(kty="RSA", size=2048)
    made = client.encrypt_jwe(
        b"secret",
        algorithm=Algorithm.RSA_OAEP_256,
        content_encryption="A256GCM",
        jwk=recipient.export_public(as_dict=True),
        protected_header={"cty": "text"},
    )
    token = jwe.JWE()
    token.deserialize(made.jwe, recipient)
    assert (token.payload, token.jose_header["cty"]) == (b"secret", "text")
    for_token = client.encrypt_jwe(
        b"secret", algorithm="RSA-OAEP-256", content_encryption="A256GCM", pem=client.get_public_key("rsa").pem
    )
    opened = client.decrypt_jwe("rsa", for_token.jwe)
    assert opened.plaintext == b"secret"
    assert opened.header["enc"] == "A256GCM"
    assert opened.algorithm is Algorithm.RSA_OAEP_256
    assert opened.content_encryption is ContentEncryption.A256GCM
    by_name = client.encrypt_jwe(b"", algorithm="RSA-OAEP-256", content_encryption="A256GCM", key="rsa/1")
    assert by_name.key_version == "keys/rsa/versions/1"
    with pytest.raises(InvalidArgument) as caught:
        client.decrypt_jwe("rsa", made.jwe)
    assert caught.value.reason == "JWE_REFUSED"


def test_jwe_needs_one_recipient(client):
    for recipients in ({}, {"key": "rsa", "pem": "x"}):
        with pytest.raises(ValueError, match="exactly one"):
            client.encrypt_jwe(b"", algorithm="dir", content_encryption="A256GCM", **recipients)


# Errors


def test_a_refusal_has_code_reason_message_and_metadata(client):
    with pytest.raises(Denied) as caught:
        client.sign("secret-1", "HS256", message=b"m")
    error = caught.value
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "DENIED")
    assert (error.message, error.metadata) == ("not allowed", {"key": "secret-1"})
    assert str(error) == "PERMISSION_DENIED DENIED: not allowed"
    assert isinstance(error, ChanceryError)


@pytest.mark.parametrize("inputs", [{}, {"message": b"m", "digest": bytes(32)}])
def test_both_or_neither_input_is_for_the_daemon_to_refuse(client, inputs):
    with pytest.raises(InvalidArgument) as caught:
        client.sign("mac", "HS256", **inputs)
    assert caught.value.reason == "INPUT_NOT_ONE"


def test_the_stubs_can_be_called_with_what_the_methods_do_not_allow(client):
    with pytest.raises(InvalidArgument) as caught, translated():
        client.signing.Sign(signing_service_pb2.SignRequest(name="keys/mac", message=b"m"), timeout=5)
    assert caught.value.reason == "ALGORITHM_UNSPECIFIED"


def test_unavailable_is_tried_again_where_that_does_no_harm(client, daemon):
    daemon.unavailable = 3
    assert client.sign("mac", "HS256", message=b"m")
    assert daemon.calls == 4
    daemon.unavailable, daemon.calls = 4, 0
    with pytest.raises(Unavailable) as caught:
        client.sign("mac", "HS256", message=b"m")
    assert daemon.calls == 4
    assert caught.value.reason == "TOKEN_UNAVAILABLE"


def test_create_key_is_never_repeated(client, daemon):
    daemon.unavailable = 1
    with pytest.raises(Unavailable):
        client.create_key("once", type="ED25519", purpose="SIGN", algorithms=["EdDSA"])
    assert (daemon.calls, daemon.created) == (1, [])


def test_no_answer_within_the_timeout(client, daemon):
    daemon.damage = lambda response: time.sleep(0.5)
    with pytest.raises(chancery.DeadlineExceeded):
        client.with_timeout(0.1).sign("mac", "HS256", message=b"m")
    daemon.damage = None
    assert client.sign("mac", "HS256", message=b"m")


def test_health(client):
    assert client.health() is HealthStatus.SERVING
    assert client.health("chancery.v1.SigningService") is HealthStatus.NOT_SERVING
    with pytest.raises(chancery.NotFound):
        client.health("nobody")


# Connections


def test_a_client_of_another_ca_gets_nothing(served, authority, tmp_path):
    stranger = Authority(tmp_path, "Stranger").issue_client("spiffe://test/pay")
    with Client(f"localhost:{served[1]}", authority.ca, *stranger) as client, pytest.raises(Unavailable):
        client.health()


def test_a_daemon_of_another_ca_is_not_trusted(served, authority, tmp_path):
    other = Authority(tmp_path, "Stranger")
    mine = authority.issue_client("spiffe://test/pay")
    with Client(f"localhost:{served[1]}", other.ca, *mine) as client, pytest.raises(Unavailable):
        client.health()


def test_the_daemons_name_is_checked_and_can_be_given(authority):
    server, port = FakeDaemon().serve(authority.ca, *authority.issue_server("chancery.internal"))
    mine = authority.issue_client("spiffe://test/pay")
    try:
        with Client(f"localhost:{port}", authority.ca, *mine) as client, pytest.raises(Unavailable):
            client.health()
        with Client(f"localhost:{port}", authority.ca, *mine, server_name="chancery.internal") as client:
            assert client.health() is HealthStatus.SERVING
    finally:
        server.stop(0).wait()


@pytest.mark.parametrize("address", ["localhost", "http://localhost:1", "https://localhost:1/x", "unix:/tmp/x"])
def test_addresses_that_are_refused(authority, address):
    with pytest.raises(ConfigurationError, match="expected an address"):
        Client(address, authority.ca, *authority.issue_client("spiffe://test/pay"))


def test_environment_by_variables(client, served, authority, monkeypatch):
    certificate, key = authority.issue_client("spiffe://test/pay")
    monkeypatch.setenv("CHANCERY_ADDR", f"https://localhost:{served[1]}")
    monkeypatch.setenv("CHANCERY_CA", str(authority.ca))
    monkeypatch.setenv("CHANCERY_CERT", str(certificate))
    monkeypatch.setenv("CHANCERY_KEY", str(key))
    with Client.from_environment() as found:
        assert found.health() is HealthStatus.SERVING
    monkeypatch.delenv("CHANCERY_CERT")
    with pytest.raises(ConfigurationError, match="the environment does not set CHANCERY_CERT$"):
        Client.from_environment()


def test_environment_by_directory_of_dev(tmp_path, monkeypatch):
    lines = "# by dev\nCHANCERY_ADDR=127.0.0.1:7\nCHANCERY_CA=ca.pem\nCHANCERY_CERT=/c.pem\nCHANCERY_KEY=k=.pem\n"
    directory = tmp_path / ".chancery-dev"
    directory.mkdir()
    (directory / "client.env").write_text(lines)
    given = Settings.from_environment({"CHANCERY_DEV": str(directory)})
    assert given == Settings("127.0.0.1:7", directory / "ca.pem", Path("/c.pem"), directory / "k=.pem")
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environment({}).ca == Path(".chancery-dev/ca.pem")
    # As `chanceryd dev` writes it, for a shell too.
    (directory / "client.env").write_text(
        "# Written by\nexport CHANCERY_ADDR=https://[::1]:7\nexport CHANCERY_CA='/a b/it'\\''s.pem'\n"
        "export CHANCERY_CERT=/c.pem\nexport CHANCERY_KEY=/k.pem\n"
    )
    assert Settings.from_environment({}) == Settings("https://[::1]:7", Path("/a b/it's.pem"), Path("/c.pem"), Path("/k.pem"))
    (directory / "client.env").write_text("CHANCERY_ADDR\n")
    with pytest.raises(ConfigurationError, match="client.env:1: expected NAME=VALUE"):
        Settings.from_environment({})
    (directory / "client.env").write_text("CHANCERY_ADDR=x:1\n")
    with pytest.raises(ConfigurationError, match="CHANCERY_CA, CHANCERY_CERT, CHANCERY_KEY"):
        Settings.from_environment({})
    (directory / "client.env").unlink()
    with pytest.raises(ConfigurationError, match="start `chanceryd dev`"):
        Settings.from_environment({})


# Keys of the cryptography package


def test_a_certificate_and_a_jwt_signed_by_keys_in_the_daemon(client):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pay")])
    now = datetime.datetime.now(datetime.timezone.utc)
    for key_name, algorithm in (("rsa", "RS256"), ("rsa", "PS256"), ("ec/1", "ES256")):
        key = private_key(client, key_name)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=1))
            .sign(key, hashes.SHA256())
        )
        certificate.verify_directly_issued_by(certificate)
        token = jwt.encode({"sub": "pay"}, key, algorithm=algorithm)
        assert jwt.decode(token, public_key(client, key_name), algorithms=[algorithm]) == {"sub": "pay"}


def test_prehashed_and_what_those_keys_can_not_do(client):
    key = private_key(client, "rsa")
    prehashed = utils.Prehashed(hashes.SHA256())
    signature = key.sign(sha256(b"m"), padding.PKCS1v15(), prehashed)
    key.public_key().verify(signature, b"m", padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(InvalidSignature):
        key.public_key().verify(signature, b"n", padding.PKCS1v15(), hashes.SHA256())
    assert key.key_size == 2048
    assert copy.deepcopy(key) is key
    mgf = padding.MGF1(hashes.SHA256())
    digest_length = key.sign(b"m", padding.PSS(mgf, padding.PSS.DIGEST_LENGTH), hashes.SHA256())
    key.public_key().verify(digest_length, b"m", padding.PSS(mgf, 32), hashes.SHA256())
    for attempt in (
        lambda: key.sign(b"m", padding.PSS(mgf, padding.PSS.MAX_LENGTH), hashes.SHA256()),
        lambda: key.sign(b"m", padding.PSS(padding.MGF1(hashes.SHA1()), 32), hashes.SHA256()),
        lambda: key.sign(b"m", padding.PKCS1v15(), hashes.SHA1()),
        lambda: key.decrypt(b"c", padding.PKCS1v15()),
        lambda: key.private_numbers(),
        lambda: private_key(client, "ec").exchange(ec.ECDH(), key.public_key()),
    ):
        with pytest.raises(UnsupportedAlgorithm):
            attempt()
