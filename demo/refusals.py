"""What is refused, and that the answer does not tell what there is."""

from __future__ import annotations

import subprocess
from typing import Tuple

from chancery import Client, Denied, EcdsaEncoding

from acts import MADE_THERE, NOT_THERE, Act, Acts, CheckFailed, Scene, expect


def acts() -> Acts:
    """A caller without leave, a key that is not there, and no certificate at all."""
    return [
        Act("refuse", "signing, by another caller", "demo-es256", MADE_THERE, "error's reason", _by_policy),
        Act("refuse", "the same, unknown key", "no-such-key", NOT_THERE, "comparison", _alike),
        Act("refuse", "no client certificate", "-", "-", "openssl", _no_certificate),
    ]


def _by_policy(scene: Scene) -> str:
    # It may verify with this key, so that what is refused is signing and not the caller.
    signed = scene.app.sign("demo-es256", "ES256", message=b"m", ecdsa_encoding=EcdsaEncoding.RAW)
    verdict = scene.visitor.verify(
        "demo-es256", "ES256", signed.signature, message=b"m", ecdsa_encoding=EcdsaEncoding.RAW
    )
    expect(bool(verdict), "the other caller can't even verify")
    return f"refused: {_refusal(scene.visitor, 'demo-es256')[0]}"


def _alike(scene: Scene) -> str:
    there, not_there = (_refusal(scene.visitor, name) for name in ("demo-es256", "no-such-key"))
    expect(there == not_there, f"{there} is another answer than {not_there}")
    return "refused: the same answer"


def _refusal(client: Client, key: str) -> Tuple[str, str, str]:
    """Reason, text and metadata; the name that the caller himself has sent taken out."""
    try:
        client.sign(key, "ES256", message=b"m", ecdsa_encoding=EcdsaEncoding.RAW)
    except Denied as refusal:
        parts = (refusal.reason, refusal.message, str(sorted(refusal.metadata.items())))
        reason, message, metadata = (part.replace(key, "KEY") for part in parts)
        return reason, message, metadata
    raise CheckFailed(f"{key} signed for a caller who may not")


def _no_certificate(scene: Scene) -> str:
    # In TLS 1.3 the refusal comes after the client has done its part, so its input must stay open until then.
    process = subprocess.Popen(
        ["openssl", "s_client", "-connect", scene.daemon.address, "-alpn", "h2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdin is not None and process.stdout is not None
    with process:
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
        said = process.stdout.read().decode(errors="replace")
    expect("certificate required" in said, f"openssl was not told that a certificate is required: {said[-300:]}")
    return "refused: certificate required"
