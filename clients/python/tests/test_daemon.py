"""The client against a running daemon and its token, every result checked by another library.

Needs a daemon with one token that holds a key `forbidden-key`, and a client certificate whose policy allows
everything on keys that start with `py-`, and nothing on keys that start with `forbidden-`. Ends at once,
and fails, if the environment does not say where the daemon is. Keys that it makes stay in the token.

With CHANCERY_TEST_MAC_KEY and CHANCERY_TEST_MAC_SECRET, the name of an imported HS256 key and its secret in
hex, its MACs are compared with those of hashlib; secrets that are made in the token can't be had for that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import itertools
import json
import os
import uuid

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from jwcrypto import jwe, jwk, jws

from chancery import (
    Algorithm,
    AlreadyExists,
    ChanceryError,
    Client,
    ConfigurationError,
    ContentEncryption,
    Denied,
    EcdsaEncoding,
    HealthStatus,
    InvalidArgument,
    KeyPurpose,
    KeyType,
    Serialization,
    Signature,
    SignItem,
    wire,
)
from chancery._generated.chancery.v1 import jose_service_pb2, key_service_pb2, signing_service_pb2
from chancery.cryptography_keys import private_key
from chancery.errors import translated

RUN = uuid.uuid4().hex[:8]
MESSAGE = b"pay 5 EUR to 17\x00\xff\r\n"

RSA_SIGNATURES = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
SIGNERS = {
    "RSA_2048": RSA_SIGNATURES,
    "RSA_3072": RSA_SIGNATURES,
    "RSA_4096": RSA_SIGNATURES,
    "EC_P256": ["ES256"],
    "EC_P384": ["ES384"],
    "EC_P521": ["ES512"],
    "ED25519": ["EdDSA"],
}
MACS = {"HMAC_SHA256": ["HS256"], "HMAC_SHA384": ["HS384"], "HMAC_SHA512": ["HS512"]}
AGREEMENTS = ["ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"]
DECRYPTERS = {
    # One padding a key: with two, a message that is meant for the one could be opened by way of the other.
    "RSA_2048": ["RSA-OAEP-256"],
    "RSA_3072": ["RSA-OAEP"],
    "EC_P256": AGREEMENTS,
    "EC_P384": AGREEMENTS,
    "EC_P521": AGREEMENTS,
}
WRAPPERS = {"AES_128": ["A128KW"], "AES_256": ["A256KW"]}
ENCRYPTIONS = [member.value for member in ContentEncryption]


def pairs(kinds):
    return [(kind, algorithm) for kind, algorithms in kinds.items() for algorithm in algorithms]


@pytest.fixture(scope="session")
def client():
    try:
        # Long enough for a token to make an RSA key of 4096 bits.
        client = Client.from_environment(timeout=120.0)
        health = client.health()
    except (ConfigurationError, OSError, ChanceryError) as error:
        pytest.exit(f"tests/test_daemon.py needs a running daemon: {error}", returncode=1)
    assert health is HealthStatus.SERVING
    with client:
        yield client


@pytest.fixture(scope="session")
def key(client):
    """Makes each kind of key once, when it is first asked for, and gives its name."""
    made = {}

    def make(kind, purpose):
        if (kind, purpose) not in made:
            kinds = {"SIGN": SIGNERS, "MAC": MACS, "DECRYPT": DECRYPTERS, "WRAP": WRAPPERS}[purpose]
            name = f"py-{RUN}-{kind}-{purpose}".lower().replace("_", "-")
            client.create_key(
                name,
                type=kind,
                purpose=purpose,
                algorithms=kinds[kind],
                content_encryptions=ENCRYPTIONS if purpose in ("DECRYPT", "WRAP") else (),
            )
            made[kind, purpose] = name
        return made[kind, purpose]

    return make


def public_key(client, name):
    return serialization.load_pem_public_key(client.get_public_key(name).pem.encode())


def encoding_for(algorithm, encoding=EcdsaEncoding.RAW):
    return encoding if algorithm.startswith("ES") else None


def hash_of(algorithm):
    return getattr(hashes, f"SHA{algorithm[2:]}")()


def check(public, algorithm, signature, message):
    """Verifies with `cryptography`; a raw ECDSA signature is expected."""
    if algorithm == "EdDSA":
        public.verify(signature, message)
    elif algorithm.startswith("ES"):
        width = (public.curve.key_size + 7) // 8
        assert len(signature) == 2 * width
        r, s = (int.from_bytes(half, "big") for half in (signature[:width], signature[width:]))
        public.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hash_of(algorithm)))
    elif algorithm.startswith("PS"):
        hash_ = hash_of(algorithm)
        public.verify(signature, message, padding.PSS(padding.MGF1(hash_), hash_.digest_size), hash_)
    else:
        public.verify(signature, message, padding.PKCS1v15(), hash_of(algorithm))


def refused(caught):
    """The reason code of a refusal, which every one must have."""
    assert caught.value.reason, f"no reason in {caught.value!r}"
    assert caught.value.message
    return caught.value.reason


# Keys


@pytest.mark.parametrize(
    ("kind", "purpose"),
    [(kind, "SIGN") for kind in SIGNERS]
    + [(kind, "MAC") for kind in MACS]
    + [(kind, "DECRYPT") for kind in DECRYPTERS]
    + [(kind, "WRAP") for kind in WRAPPERS],
)
def test_every_kind_of_key_is_made_in_the_token(client, key, kind, purpose):
    found = client.get_key(key(kind, purpose))
    assert found.type is KeyType(kind)
    assert found.purpose is KeyPurpose(purpose)
    (version,) = found.versions
    assert found.primary_version == version.name == f"{found.name}/versions/1"
    assert (version.local, version.sensitive, version.extractable) == (True, True, False)
    assert (version.always_sensitive, version.never_extractable) == (True, True)
    assert not version.adopted
    assert found.name in [listed.name for listed in client.list_keys(page_size=3)]
    if purpose in ("MAC", "WRAP"):
        assert (version.thumbprint, version.public_key_sha256) == ("", "")
        return
    public = client.get_public_key(found.name)
    assert version.public_key_sha256 == hashlib.sha256(public.der).hexdigest()
    assert version.thumbprint == public.thumbprint == jwk.JWK(**public.jwk).thumbprint()
    assert public.jwk["kid"] == public.thumbprint
    assert serialization.load_der_public_key(public.der) == public_key(client, found.name)


def test_a_name_that_is_taken_is_refused(client, key):
    with pytest.raises(AlreadyExists) as caught:
        client.create_key(key("EC_P256", "SIGN"), type="EC_P256", purpose="SIGN", algorithms=["ES256"])
    refused(caught)


@pytest.mark.parametrize(
    "wish",
    [
        {"type": "EC_P256", "purpose": "SIGN", "algorithms": ["RS256"]},
        {"type": "EC_P256", "purpose": "MAC", "algorithms": ["HS256"]},
        {"type": "EC_P256", "purpose": "SIGN", "algorithms": []},
        {"type": "EC_P256", "purpose": "DECRYPT", "algorithms": ["ECDH-ES"]},
        {"type": "EC_P256", "purpose": "SIGN", "algorithms": ["ES256"], "content_encryptions": ["A128GCM"]},
        {
            "type": "RSA_2048",
            "purpose": "DECRYPT",
            "algorithms": ["RSA-OAEP", "RSA-OAEP-256"],
            "content_encryptions": ["A128GCM"],
        },
    ],
    ids=["algorithm-type", "purpose-type", "no-algorithm", "no-encryption", "needless-encryption", "two-paddings"],
)
def test_a_key_that_makes_no_sense_is_refused(client, wish):
    with pytest.raises(InvalidArgument) as caught:
        client.create_key(f"py-{RUN}-nonsense", **wish)
    refused(caught)


def test_the_set_of_keys_holds_ours_and_no_private_part(client, key):
    document = client.jwks()
    names = [key(kind, "SIGN") for kind in ("RSA_2048", "EC_P256", "ED25519")]
    loaded = jwk.JWKSet.from_json(json.dumps(document))
    for name in names:
        found = loaded.get_key(client.get_public_key(name).thumbprint)
        assert found is not None and not found.has_private
    assert not any(member in one for one in document["keys"] for member in ("d", "p", "q", "k"))


@pytest.mark.parametrize(("kind", "algorithm"), [pair for pair in pairs(SIGNERS) if not pair[1].startswith("PS")])
def test_certificate_request(client, key, kind, algorithm):
    made = client.create_certificate_request(
        key(kind, "SIGN"),
        algorithm,
        subject=[("C", "DE"), ("O", "Exämple"), ("CN", "pay.example")],
        dns_names=["pay.example", "*.pay.example"],
        uris=["spiffe://example/pay"],
        ip_addresses=["192.0.2.1", "2001:db8::1"],
        email_addresses=["ops@pay.example"],
    )
    request = x509.load_pem_x509_csr(made.pem.encode())
    assert request == x509.load_der_x509_csr(made.der)
    assert request.is_signature_valid
    assert request.public_key() == public_key(client, key(kind, "SIGN"))
    assert request.subject.rfc4514_string() == "CN=pay.example,O=Exämple,C=DE"
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["pay.example", "*.pay.example"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://example/pay"]
    assert names.get_values_for_type(x509.RFC822Name) == ["ops@pay.example"]
    addresses = [ipaddress.ip_address(text) for text in ("192.0.2.1", "2001:db8::1")]
    assert names.get_values_for_type(x509.IPAddress) == addresses


def test_certificate_request_with_pss_is_refused(client, key):
    with pytest.raises(InvalidArgument) as caught:
        client.create_certificate_request(key("RSA_2048", "SIGN"), "PS256", dns_names=["pay.example"])
    assert refused(caught) == "CERTIFICATE_REQUEST_INVALID"


def test_random(client):
    assert len(client.random(1)) == 1
    first, second = client.random(1024), client.random(1024)
    assert len(first) == len(second) == 1024 and first != second
    for length in (0, 1025, -1):
        with pytest.raises(InvalidArgument) as caught:
            client.random(length)
        refused(caught)


# Signatures


@pytest.mark.parametrize(("kind", "algorithm"), pairs(SIGNERS))
def test_signature_of_a_message(client, key, kind, algorithm):
    name = key(kind, "SIGN")
    encoding = encoding_for(algorithm)
    public = public_key(client, name)
    for message in (MESSAGE, b""):
        signed = client.sign(name, algorithm, message=message, ecdsa_encoding=encoding)
        assert signed.key_version == f"keys/{name}/versions/1"
        check(public, algorithm, signed.signature, message)
        with pytest.raises(InvalidSignature):
            check(public, algorithm, signed.signature, message + b"0")
        verdict = client.verify(name, algorithm, signed.signature, message=message, ecdsa_encoding=encoding)
        assert verdict and verdict.key_version == signed.key_version
        assert not client.verify(name, algorithm, signed.signature, message=b"other", ecdsa_encoding=encoding)


@pytest.mark.parametrize(("kind", "algorithm"), [pair for pair in pairs(SIGNERS) if pair[1] != "EdDSA"])
def test_signature_of_a_digest(client, key, kind, algorithm):
    name, encoding = key(kind, "SIGN"), encoding_for(algorithm)
    digest = hashlib.new(f"sha{algorithm[2:]}", MESSAGE).digest()
    signed = client.sign(name, algorithm, digest=digest, ecdsa_encoding=encoding)
    check(public_key(client, name), algorithm, signed.signature, MESSAGE)
    assert client.verify(name, algorithm, signed.signature, digest=digest, ecdsa_encoding=encoding)


@pytest.mark.parametrize(("kind", "algorithm"), [("EC_P256", "ES256"), ("EC_P384", "ES384"), ("EC_P521", "ES512")])
def test_ecdsa_as_der(client, key, kind, algorithm):
    name = key(kind, "SIGN")
    signed = client.sign(name, algorithm, message=MESSAGE, ecdsa_encoding=EcdsaEncoding.DER)
    public_key(client, name).verify(signed.signature, MESSAGE, ec.ECDSA(hash_of(algorithm)))
    assert client.verify(name, algorithm, signed.signature, message=MESSAGE, ecdsa_encoding=EcdsaEncoding.DER)
    with pytest.raises(InvalidArgument) as caught:
        client.sign(name, algorithm, message=MESSAGE)
    refused(caught)


@pytest.mark.parametrize(("kind", "algorithm"), pairs(MACS))
def test_mac(client, key, kind, algorithm):
    name = key(kind, "MAC")
    mac = client.sign(name, algorithm, message=MESSAGE).signature
    assert len(mac) == int(algorithm[2:]) // 8
    # The secret can't be had, so that no other library can make the MAC; but it is bound to the message.
    assert client.verify(name, algorithm, mac, message=MESSAGE)
    assert not client.verify(name, algorithm, mac, message=MESSAGE + b"0")
    assert not client.verify(name, algorithm, bytes([mac[0] ^ 1]) + mac[1:], message=MESSAGE)
    assert mac == client.sign(name, algorithm, message=MESSAGE).signature


if "CHANCERY_TEST_MAC_KEY" in os.environ:

    def test_mac_is_that_of_hashlib(client):
        name, secret = os.environ["CHANCERY_TEST_MAC_KEY"], os.environ["CHANCERY_TEST_MAC_SECRET"]
        mac = client.sign(name, "HS256", message=MESSAGE).signature
        assert mac == hmac.digest(bytes.fromhex(secret), MESSAGE, "sha256")


def test_batch_with_one_bad_item(client, key):
    name = key("EC_P256", "SIGN")
    items = [SignItem(name, "ES256", message=b"%d" % number, ecdsa_encoding=EcdsaEncoding.RAW) for number in range(100)]
    items[41] = SignItem(name, "ES256", digest=bytes(31), ecdsa_encoding=EcdsaEncoding.RAW)
    results = client.sign_batch(items)
    public = public_key(client, name)
    for number, result in enumerate(results):
        if number == 41:
            assert isinstance(result, InvalidArgument) and result.reason
        else:
            assert isinstance(result, Signature), result
            check(public, "ES256", result.signature, b"%d" % number)


@pytest.mark.parametrize("count", [0, 1001])
def test_batch_of_a_wrong_size(client, key, count):
    with pytest.raises(InvalidArgument) as caught:
        client.sign_batch([SignItem(key("HMAC_SHA256", "MAC"), "HS256", message=b"m")] * count)
    refused(caught)


def test_stream(client, key):
    name = key("HMAC_SHA256", "MAC")
    items = [SignItem(name, "HS256", message=b"%d" % (number % 10)) for number in range(1000)]
    items[500] = SignItem(name, "HS256")
    results = dict(client.sign_stream(items, timeout=120))
    assert sorted(results) == list(range(1000))
    bad = results.pop(500)
    assert isinstance(bad, InvalidArgument) and bad.reason
    expected = [client.sign(name, "HS256", message=b"%d" % digit) for digit in range(10)]
    assert all(result == expected[number % 10] for number, result in results.items())


@pytest.mark.parametrize(
    ("kind", "purpose", "algorithm"),
    [("RSA_2048", "SIGN", "RS256"), ("RSA_2048", "SIGN", "PS512"), ("EC_P384", "SIGN", "ES384")],
)
def test_chunked_message_of_8_mib(client, key, tmp_path, kind, purpose, algorithm):
    name = key(kind, purpose)
    message = os.urandom(8 << 20)
    file = tmp_path / "message"
    file.write_bytes(message)
    signed = client.sign_file(name, algorithm, file, ecdsa_encoding=encoding_for(algorithm), timeout=120)
    check(public_key(client, name), algorithm, signed.signature, message)


def test_chunked_mac_is_that_of_the_whole(client, key):
    name = key("HMAC_SHA512", "MAC")
    parts = [b"a" * 1000, b"", b"b" * 1000]
    whole = client.sign(name, "HS512", message=b"".join(parts))
    assert client.sign_chunks(name, "HS512", parts, timeout=60) == whole


def test_chunked_message_with_a_wrong_crc_or_of_eddsa_is_refused(client, key):
    with pytest.raises(InvalidArgument) as caught:
        client.sign_chunks(key("RSA_2048", "SIGN"), "RS256", [b"m"], message_crc32c=1, timeout=60)
    refused(caught)
    with pytest.raises(ChanceryError) as caught:
        client.sign_chunks(key("ED25519", "SIGN"), "EdDSA", [b"m"], timeout=60)
    refused(caught)


def test_a_certificate_signed_by_a_key_in_the_token(client, key):
    for kind in ("RSA_2048", "EC_P384"):
        signer = private_key(client, key(kind, "SIGN"))
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(signer, hashes.SHA384())
        assert request.is_signature_valid


# Refusals


def test_a_refused_key_and_an_unknown_one_answer_alike(client):
    """What can't be used can't be told from what is not there."""
    answers = set()
    for name in ("forbidden-key", f"forbidden-{RUN}"):
        with pytest.raises(Denied) as caught:
            client.sign(name, "RS256", message=MESSAGE)
        refused(caught)
        answers.add((caught.value.reason, caught.value.message.replace(name, "NAME")))
    assert len(answers) == 1


def test_an_algorithm_that_is_not_the_keys_is_refused(client, key):
    for name, algorithm in ((key("EC_P256", "SIGN"), "RS256"), (key("RSA_2048", "DECRYPT"), "RS256")):
        with pytest.raises(ChanceryError) as caught:
            client.sign(name, algorithm, message=MESSAGE)
        refused(caught)


@pytest.mark.parametrize(("kind", "algorithm"), [("RSA_2048", "RS256"), ("RSA_2048", "PS384"), ("EC_P521", "ES512")])
@pytest.mark.parametrize("difference", [-1, 1, None])
def test_a_digest_of_the_wrong_length_is_refused(client, key, kind, algorithm, difference):
    length = 0 if difference is None else int(algorithm[2:]) // 8 + difference
    with pytest.raises(InvalidArgument) as caught:
        client.sign(key(kind, "SIGN"), algorithm, digest=bytes(length), ecdsa_encoding=encoding_for(algorithm))
    refused(caught)


@pytest.mark.parametrize(
    ("kind", "purpose", "algorithm"), [("ED25519", "SIGN", "EdDSA"), ("HMAC_SHA256", "MAC", "HS256")]
)
def test_no_digest_where_the_message_itself_is_needed(client, key, kind, purpose, algorithm):
    with pytest.raises(InvalidArgument) as caught:
        client.sign(key(kind, purpose), algorithm, digest=bytes(32))
    refused(caught)


@pytest.mark.parametrize("inputs", [{}, {"message": b"m", "digest": bytes(32)}], ids=["neither", "both"])
def test_both_or_neither_of_message_and_digest_is_refused(client, key, inputs):
    name = key("RSA_2048", "SIGN")
    with pytest.raises(InvalidArgument) as caught:
        client.sign(name, "RS256", **inputs)
    refused(caught)
    with pytest.raises(InvalidArgument) as caught:
        client.verify(name, "RS256", bytes(256), **inputs)
    refused(caught)


def test_a_wrong_crc_is_refused(client, key):
    request = wire.sign_request(SignItem(key("RSA_2048", "SIGN"), "RS256", message=MESSAGE))
    request.input_crc32c ^= 1
    with pytest.raises(InvalidArgument) as caught, translated():
        client.signing.Sign(request, timeout=10)
    refused(caught)


def test_a_call_without_crc_says_that_it_was_not_checked(client, key):
    request = wire.sign_request(SignItem(key("RSA_2048", "SIGN"), "RS256", message=MESSAGE))
    request.ClearField("input_crc32c")
    assert not client.signing.Sign(request, timeout=10).verified_input_crc32c


def test_nothing_that_is_unspecified_is_guessed(client, key):
    name = f"keys/{key('RSA_2048', 'SIGN')}"
    inbox = f"keys/{key('RSA_2048', 'DECRYPT')}"
    calls = [
        (client.signing.Sign, signing_service_pb2.SignRequest(name=name, message=MESSAGE)),
        (client.signing.Sign, signing_service_pb2.SignRequest(name=name, message=MESSAGE, algorithm=9999)),
        (client.signing.Verify, signing_service_pb2.VerifyRequest(name=name, message=MESSAGE, signature=b"s")),
        (client.keys.CreateKey, key_service_pb2.CreateKeyRequest(key_id=f"py-{RUN}-unspecified")),
        (client.keys.CreateCertificateRequest, key_service_pb2.CreateCertificateRequestRequest(name=name)),
        (client.jose.SignJws, jose_service_pb2.SignJwsRequest(name=name, algorithm=1)),
        (client.jose.EncryptJwe, jose_service_pb2.EncryptJweRequest(name=inbox, content_encryption=1)),
        (client.jose.EncryptJwe, jose_service_pb2.EncryptJweRequest(name=inbox, algorithm=15)),
        (client.jose.EncryptJwe, jose_service_pb2.EncryptJweRequest(algorithm=15, content_encryption=1)),
    ]
    for method, request in calls:
        with pytest.raises(InvalidArgument) as caught, translated():
            method(request, timeout=10)
        refused(caught)


# JWS


@pytest.mark.parametrize(
    ("kind", "algorithm"), [pair for pair in pairs(SIGNERS) if pair[0] not in ("RSA_3072", "RSA_4096")]
)
@pytest.mark.parametrize("serialization", list(Serialization))
def test_jws_is_verified_by_another_library(client, key, kind, algorithm, serialization):
    name = key(kind, "SIGN")
    public = jwk.JWK(**client.get_public_key(name).jwk)
    made = client.sign_jws(name, algorithm, MESSAGE, protected_header={"typ": "pay+jws"}, serialization=serialization)
    token = jws.JWS()
    token.deserialize(made.jws, public)
    assert token.payload == MESSAGE
    header = token.jose_header if isinstance(token.jose_header, dict) else token.jose_header[0]
    assert header == {"alg": algorithm, "typ": "pay+jws", "kid": public.thumbprint()}
    verdict = client.verify_jws(name, made.jws)
    assert verdict and verdict.payload == MESSAGE and verdict.header == header


def test_jws_of_another_library_is_verified(client, key):
    """Made with the token's key by way of `cryptography`, assembled here, and changed here."""
    name = key("EC_P256", "SIGN")
    made = client.sign_jws(name, "ES256", MESSAGE).jws
    head, payload, signature = made.split(".")
    assert client.verify_jws(name, made)
    other = base64.urlsafe_b64encode(b"pay 6 EUR").decode().rstrip("=")
    assert not client.verify_jws(name, f"{head}.{other}.{signature}")
    stranger = jwk.JWK.generate(kty="EC", crv="P-256")
    token = jws.JWS(MESSAGE)
    token.add_signature(stranger, protected='{"alg":"ES256"}')
    verdict = client.verify_jws(name, token.serialize(compact=True))
    assert not verdict and verdict.payload == b""


def test_jws_detached_and_unencoded(client, key):
    name = key("EC_P256", "SIGN")
    public = jwk.JWK(**client.get_public_key(name).jwk)
    for options in ({"detached": True}, {"detached": True, "unencoded_payload": True}):
        made = client.sign_jws(name, "ES256", MESSAGE, **options)
        assert made.jws.split(".")[1] == ""
        token = jws.JWS()
        token.deserialize(made.jws)
        token.verify(public, detached_payload=MESSAGE)
        assert client.verify_jws(name, made.jws, detached_payload=MESSAGE)
        assert not client.verify_jws(name, made.jws, detached_payload=MESSAGE + b"0")


def test_jws_with_a_mac(client, key):
    name = key("HMAC_SHA256", "MAC")
    made = client.sign_jws(name, "HS256", MESSAGE).jws
    assert client.verify_jws(name, made).payload == MESSAGE
    head, payload, signature = made.split(".")
    mac = client.sign(name, "HS256", message=f"{head}.{payload}".encode()).signature
    assert base64.urlsafe_b64decode(signature + "=") == mac


def test_jws_header_may_not_say_what_the_daemon_says(client, key):
    for header in ({"alg": "none"}, {"jku": "https://x"}, {"crit": ["exp"]}, '{"a":1,"a":2}', "[]", "{"):
        with pytest.raises(InvalidArgument) as caught:
            client.sign_jws(key("EC_P256", "SIGN"), "ES256", b"p", protected_header=header)
        refused(caught)


# JWE


@pytest.mark.parametrize(
    ("kind", "algorithm", "encryption"),
    [(kind, algorithm, enc) for (kind, algorithm), enc in itertools.product(pairs(DECRYPTERS), ENCRYPTIONS)],
)
def test_jwe_of_another_library_is_opened_in_the_token(client, key, kind, algorithm, encryption):
    name = key(kind, "DECRYPT")
    recipient = jwk.JWK(**client.get_public_key(name).jwk)
    # `use` and `alg` of the published key are not what this test is about.
    recipient = jwk.JWK(**{k: v for k, v in recipient.export_public(as_dict=True).items() if k not in ("alg", "use")})
    header = {"alg": algorithm, "enc": encryption, "kid": recipient.thumbprint()}
    token = jwe.JWE(MESSAGE, json.dumps(header), algs=[algorithm, encryption], recipient=recipient)
    opened = client.decrypt_jwe(name, token.serialize(compact=True))
    assert opened.plaintext == MESSAGE
    assert opened.algorithm is Algorithm(algorithm)
    assert opened.content_encryption is ContentEncryption(encryption)
    assert opened.header["enc"] == encryption
    assert opened.key_version == f"keys/{name}/versions/1"


@pytest.mark.parametrize("algorithm", ["RSA-OAEP", "RSA-OAEP-256", *AGREEMENTS])
@pytest.mark.parametrize("encryption", ENCRYPTIONS)
def test_jwe_of_the_daemon_is_opened_by_another_library(client, algorithm, encryption):
    parameters = {"kty": "RSA", "size": 2048} if algorithm.startswith("RSA") else {"kty": "EC", "crv": "P-256"}
    recipient = jwk.JWK.generate(**parameters)
    forms = {"jwk": recipient.export_public(as_dict=True)}, {"pem": recipient.export_to_pem()}
    for form in forms:
        made = client.encrypt_jwe(
            MESSAGE, algorithm=algorithm, content_encryption=encryption, protected_header={"cty": "pay"}, **form
        )
        token = jwe.JWE(algs=[algorithm, encryption])
        token.deserialize(made.jwe, recipient)
        assert token.payload == MESSAGE
        assert token.jose_header["cty"] == "pay"


@pytest.mark.parametrize(
    ("kind", "purpose", "algorithm"),
    [(kind, "DECRYPT", algorithm) for kind, algorithm in pairs(DECRYPTERS)]
    + [(kind, "WRAP", algorithm) for kind, algorithm in pairs(WRAPPERS)],
)
def test_jwe_to_a_key_in_the_token_and_back(client, key, kind, purpose, algorithm):
    name = key(kind, purpose)
    made = client.encrypt_jwe(MESSAGE, algorithm=algorithm, content_encryption="A256CBC-HS512", key=name)
    assert made.key_version == f"keys/{name}/versions/1"
    assert client.decrypt_jwe(name, made.jwe).plaintext == MESSAGE


def test_every_fault_of_a_jwe_has_the_same_answer(client, key):
    name = key("RSA_2048", "DECRYPT")
    made = client.encrypt_jwe(MESSAGE, algorithm="RSA-OAEP-256", content_encryption="A128GCM", key=name).jwe
    answers = set()
    for part in range(1, 5):
        parts = made.split(".")
        raw = bytearray(base64.urlsafe_b64decode(parts[part] + "=="))
        raw[0] ^= 1
        parts[part] = base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")
        with pytest.raises(ChanceryError) as caught:
            client.decrypt_jwe(name, ".".join(parts))
        refused(caught)
        answers.add((caught.value.code, caught.value.reason, caught.value.message))
    assert len(answers) == 1


def test_a_key_for_signing_does_not_decrypt(client, key):
    signer = key("RSA_2048", "SIGN")
    public = client.get_public_key(signer).pem
    made = client.encrypt_jwe(MESSAGE, algorithm="RSA-OAEP", content_encryption="A128GCM", pem=public)
    with pytest.raises(ChanceryError) as caught:
        client.decrypt_jwe(signer, made.jwe)
    refused(caught)


@pytest.mark.parametrize("algorithm, digest", [("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")])
def test_a_secret_of_ours_makes_the_macs_of_hashlib(client, algorithm, digest):
    name = f"py-brought-in-{algorithm.lower()}-{RUN}"
    secrets = [b"shorter than the hash", b"s" * 200]
    assert client.import_secret(name, secrets[0], algorithm=algorithm).algorithms == (Algorithm(algorithm),)
    first = client.sign(name, algorithm, message=MESSAGE).signature
    assert first == hmac.new(secrets[0], MESSAGE, digest).digest()
    assert client.import_secret_version(name, secrets[1]).primary_version.endswith("/versions/2")
    assert client.sign(name, algorithm, message=MESSAGE).signature == hmac.new(secrets[1], MESSAGE, digest).digest()
    assert client.verify(f"{name}/1", algorithm, first, message=MESSAGE)
    with pytest.raises(AlreadyExists):
        client.import_secret(name, secrets[0], algorithm=algorithm)
    with pytest.raises(ValueError, match="expected HS256"):
        client.import_secret(name, secrets[0], algorithm="RS256")
