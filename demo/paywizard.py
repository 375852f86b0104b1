"""PayWizard V3: the value of the guide's curl example, from a secret that is key and message at once."""

from __future__ import annotations

from chancery import HttpRequest

from acts import WRAPPED, Act, Acts, Scene, expect
from published import PAYWIZARD_BODY, PAYWIZARD_SIGN

PARTNER = "paywizard"


def acts() -> Acts:
    """The example as it is printed, and with the line ends that break it."""
    return [
        Act("paywizard", "PayWizard V3: the guide's example", "paywizard-secret", WRAPPED, "its guide", _example),
        Act("paywizard", "PayWizard V3: explained", "paywizard-secret", WRAPPED, "its guide", _explained),
    ]


def _example(scene: Scene) -> str:
    sent = scene.app.sign_http_request(PARTNER, HttpRequest("POST", "/api/v3/push", (), PAYWIZARD_BODY)).request
    expect(sent.header("sign") == PAYWIZARD_SIGN, f"another value: {sent.header('sign')}")
    other = scene.app.sign_http_request(
        PARTNER, HttpRequest("POST", "/api/v3/push", (), PAYWIZARD_BODY.replace(b"\r\n", b"\n"))
    ).request
    expect(other.header("sign") != PAYWIZARD_SIGN, "the line ends make no difference")
    return "the published value exactly; not with LF"


def _explained(scene: Scene) -> str:
    shown = scene.app.explain_signing(PARTNER, HttpRequest("POST", "/api/v3/push", (), PAYWIZARD_BODY))
    expect(any(step.masked for step in shown.steps), "nothing is masked")
    expect(shown.strings_to_sign[0].startswith(PAYWIZARD_BODY + b"&clientId="), f"{shown.strings_to_sign}")
    expect(b"9fb64540" not in b"".join(shown.strings_to_sign), "the secret is shown")
    return "string shown, secret masked"
