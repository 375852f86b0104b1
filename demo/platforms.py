"""The five platforms: partner files, the keys and secrets behind them, and what is done with each."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Dict

from chancery import Client

import ayolinx
import oneaccess
import paykka
import paywizard
import published
import upay
from acts import Acts
from counterpart import Counterpart
from programs import ProgramFailed


def acts() -> Acts:
    """All of the five, in the order of the guide."""
    return [act for platform in (upay, paykka, ayolinx, paywizard, oneaccess) for act in platform.acts()]


def write_partners(directory: Path) -> Dict[str, Counterpart]:
    """Writes a file for each partner, and makes the keys of those platforms that have one."""
    counterparts = {name: Counterpart(directory / name, "platform") for name in ("upay", "paykka", "ayolinx", "oneaccess")}
    for name, text in PARTNERS.items():
        (directory / f"{name}.toml").write_text(text)
    return counterparts


def make_keys(client: Client) -> None:
    """The keys of ours that the partners' files name, made in the token."""
    for key in (upay.KEY, oneaccess.KEY):
        client.create_key(
            key,
            type="RSA_2048",
            purpose="DECRYPT",
            algorithms=["RSA-OAEP-256"],
            content_encryptions=["A128GCM"],
            compression_allowed=True,
        )
    client.create_key(paykka.KEY, type="RSA_2048", purpose="SIGN", algorithms=["RS256"])
    client.create_key("ayolinx-tokens", type="HMAC_SHA256", purpose="MAC", algorithms=["HS256"])


def wrap_secrets_in(chancery: Path, environment: Dict[str, str]) -> None:
    """Puts the shared secrets into the token: encrypted by the command, opened by the token alone."""
    for partner, role, secret in SECRETS:
        done = subprocess.run(
            [chancery, "partners", "secret", "set", partner, role],
            input=secret.encode(),
            env={**os.environ, **environment},
            capture_output=True,
            timeout=60,
        )
        if done.returncode != 0:
            raise ProgramFailed(f"chancery partners secret set {partner} {role}: {done.stderr.decode().strip()}")


SECRETS = [
    ("upay", "signing", upay.SECRET),
    ("ayolinx", "client_secret", ayolinx.SECRET),
    ("paywizard", "signing", published.PAYWIZARD_SECRET.decode()),
    ("oneaccess", "platform", oneaccess.SIGNATURE_SECRET),
    ("oneaccess", "content", oneaccess.ENCRYPTION_SECRET),
]

PARTNERS = {
    "upay": f"""\
[partner]
name = "upay"
title = "UPay"
[constants]
api_key = "demo-api-key"
[keys]
signing = {{ key = "upay-secret" }}
platform = {{ key = "upay-secret" }}
decryption = {{ key = "{upay.KEY}" }}
encryption = {{ public_keys = [{{ file = "upay/platform.pem" }}] }}
[schemes.upay-request-encrypted]
[schemes.upay-response]
[schemes.upay-webhook]
""",
    "paykka": f"""\
[partner]
name = "paykka"
title = "PayKKa"
[constants]
merchant_id = "{paykka.MERCHANT}"
[keys]
signing = {{ key = "{paykka.KEY}", id = "demo-key-id" }}
platform = {{ public_keys = [{{ file = "paykka/platform.pem" }}] }}
[schemes.paykka-collection]
[schemes.paykka-collection-callback]
""",
    "ayolinx": f"""\
[partner]
name = "ayolinx"
title = "Ayolinx (SNAP BI)"
[constants]
client_key = "{ayolinx.CLIENT_KEY}"
partner_id = "{ayolinx.CLIENT_KEY}"
channel_id = "95221"
[keys]
signing = {{ key = "{published.AYOLINX_KEY}" }}
platform = {{ public_keys = [{{ file = "ayolinx/platform.pem" }}] }}
client_secret = {{ key = "ayolinx-secret" }}
[schemes.snap-token]
access_tokens = {{ key = "ayolinx-tokens", lifetime_seconds = 900 }}
[schemes.snap-service]
access_tokens = {{ key = "ayolinx-tokens", lifetime_seconds = 900 }}
[schemes.snap-notify]
""",
    "paywizard": """\
[partner]
name = "paywizard"
title = "PayWizard V3"
[constants]
client_id = "825420368247390208"
[keys]
signing = { key = "paywizard-secret" }
[schemes.paywizard-v3]
""",
    "oneaccess": f"""\
[partner]
name = "oneaccess"
title = "Huawei OneAccess"
[keys]
platform = {{ key = "oneaccess-signature" }}
content = {{ key = "oneaccess-content" }}
application = {{ public_keys = [{{ file = "oneaccess/platform.pem" }}] }}
ours = {{ key = "{oneaccess.KEY}" }}
[schemes.oneaccess-event]
[schemes.oneaccess-session-token]
""",
}
