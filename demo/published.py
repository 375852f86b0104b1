"""Values that payment platforms print in their guides: the keys imported, the values made again."""

from __future__ import annotations

import base64
from pathlib import Path

from acts import IMPORTED, Act, Acts, Scene, expect
from softtoken import SoftToken


def acts() -> Acts:
    """The one that can be made from a digest alone; the other needs a whole request."""
    return [
        Act("published", "Ayolinx token, RS256", AYOLINX_KEY, IMPORTED, "its guide", _ayolinx),
    ]


def import_keys(token: SoftToken) -> None:
    """Puts the demo key of the guide into the token."""
    token.import_private_key(AYOLINX_KEY, Path(__file__).parent / "ayolinx" / "key.pem")


def _ayolinx(scene: Scene) -> str:
    signed = scene.app.sign(AYOLINX_KEY, "RS256", digest=AYOLINX_DIGEST)
    expect(signed.signature == AYOLINX_SIGNATURE, f"another signature: {base64.b64encode(signed.signature).decode()}")
    return "the published signature exactly"


AYOLINX_KEY = "ayolinx-demo"
# What the published signature holds: opened with the public key, it is PKCS #1 v1.5 padding around this SHA-256.
# The message itself is not in the guide.
AYOLINX_DIGEST = bytes.fromhex("fe1edd55fcf7cc57a91b2adaa47919ea09242aaa3c7dce1867cb6c2e3f379a99")
AYOLINX_SIGNATURE = base64.b64decode(
    "jBOr9d5CRTbzunJyFKktb0+/oJi9H6nO6+o89iI28ZOP80kxh6YFaDryw+KsCALB+ylBp6ZbHAB3XwXa08ZqnVr7Tgv7vplb"
    "Bii3pG3QXGNN41Qi1s4/fpYGKkpprUenIYPy59482/GoEbXEnutrPUtTKIXf7z4zkcFwngurByo1iHxEKIFxKFKJq5XR70Ff"
    "TsXZQPDTC9VsKCqJ+PYaCVHtv9fAe2Bo1kaDzWGzESzpbFBpr8k0H6Fngboje9GgtWRFlcdYRM5NLYNuFJ7rXN1f792aX1s9"
    "nS8eDmXAJlJeMR/j509mBiIJeF3OkAgD5yuqZvtYJdYLYYoe8SU8jQ=="
)

# The guide's clientSecret. The key is this text itself, not the bytes that it would be as hexadecimal.
PAYWIZARD_SECRET = b"9fb645400aabaa33ee0e423405d8c676"
# The body of the guide's curl command, byte for byte: the value is right with these line ends alone.
PAYWIZARD_BODY = b'{\r\n    "clientId": "825420368247390208",\r\n    "pushId":"942783670425616384"\r\n}'
PAYWIZARD_SIGN = "57ba54072ed2aaa4b2905c41e7c91fd1395ef8f6f76e6e7cdbefe7a88437de6c"
