"""The demo: a daemon on a fresh token does its main jobs over mutual TLS, and tools that are not ours check them.

Run by `make demo`. Ends with a table; the exit status is 0 if everything in it is good.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List

from chancery import Client

import failures
import messages
import platforms
import published
import refusals
import signatures
from acts import Act, Scene
from authority import Authority, Leaf
from daemon import Daemon, DaemonFailed, executable
from programs import ProgramFailed
from softtoken import SoftToken
from table import printed


def main() -> int:
    # Whatever ends us, the daemon is stopped and the directory goes away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="chancery-demo-") as name:
            acts, faults = _play(Path(name))
    except (DaemonFailed, ProgramFailed) as error:
        print(f"The demo can't start: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The daemon has ended; token and certificates are removed.", file=sys.stderr)
        return 130
    print(f"\n{printed(acts)}\n")
    for fault in faults:
        print(f"FAILED  {fault}")
    if faults:
        print(f"{len(faults)} of {len(acts)} did not go as they should.")
        return 1
    print(f"All {len(acts)} went as they should, in {time.monotonic() - began:.0f} seconds.")
    print("The daemon has ended; token and certificates are removed.")
    return 0


def _play(directory: Path) -> tuple[List[Act], List[str]]:
    chanceryd = executable()
    _say("Making a fresh SoftHSM token; importing two keys with the tokens' own tools ...")
    token = SoftToken(directory / "token", "demo")
    published.import_keys(token)
    token.import_secret(signatures.KNOWN_SECRET_KEY, signatures.KNOWN_SECRET)
    _say("Making a certificate authority, and certificates for the daemon and two callers ...")
    authority = Authority(directory / "pki")
    app, visitor = (authority.client(f"spiffe://demo.chancery/{name}") for name in ("app", "visitor"))
    (directory / "policy.toml").write_text(POLICY)
    _say("Writing a file for each of five platforms ...")
    counterparts = platforms.write_partners(directory / "partners")
    with Daemon(chanceryd, directory, token, authority, REST_OF_CONFIGURATION) as daemon:
        _say(f"chanceryd serves on {daemon.address}, with {len(daemon.workers())} worker processes.")
        ca = authority.certificate
        with Client(daemon.address, ca, app.certificate, app.key, timeout=20.0) as first, Client(
            daemon.address, ca, visitor.certificate, visitor.key
        ) as second:
            _say("Making keys for the platforms, and wrapping their secrets into the token ...")
            platforms.make_keys(first)
            platforms.wrap_secrets_in(chanceryd.with_name("chancery"), _environment(daemon, authority, app))
            return _play_acts(Scene(directory, token, daemon, first, second, counterparts))


def _play_acts(scene: Scene) -> tuple[List[Act], List[str]]:
    acts: List[Act] = []
    faults: List[str] = []
    for title, part in PARTS:
        _say(f"{title} ...")
        for act in part.acts():
            acts.append(act)
            fault = act.play(scene)
            if fault:
                faults.append(fault)
    return acts, faults


def _environment(daemon: Daemon, authority: Authority, leaf: Leaf) -> Dict[str, str]:
    return {
        "CHANCERY_ADDR": daemon.address,
        "CHANCERY_CA": str(authority.certificate),
        "CHANCERY_CERT": str(leaf.certificate),
        "CHANCERY_KEY": str(leaf.key),
    }


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


PARTS = [
    ("Signing", signatures),
    ("Signing and decrypting JOSE", messages),
    ("Making again what a payment platform prints in its guide", published),
    ("Serving five platforms", platforms),
    ("Being refused", refusals),
    ("Killing a worker and hanging another while six threads sign", failures),
]

# It follows the `[[tokens]]` part.
REST_OF_CONFIGURATION = f"""\
operation_timeout_seconds = {failures.OPERATION_TIMEOUT}

[platforms]
partners = "partners"

[[admin.oneaccess_public_keys]]
client_id = "demo-app"
key = "oneaccess-app"

[[keys]]
name = "{published.AYOLINX_KEY}"
purpose = "sign"
algorithms = ["RS256"]

[[keys]]
name = "{signatures.KNOWN_SECRET_KEY}"
purpose = "mac"
algorithms = ["HS256"]
"""

POLICY = f"""\
[[rules]]
name = "app"
identities = ["spiffe://demo.chancery/app"]
keys = ["demo-*", "{published.AYOLINX_KEY}"]
operations = ["create", "get", "sign", "verify", "decrypt"]
algorithms = ["*"]

# The keys of partners: it makes them and brings secrets in, but signs with none of them as it likes.
[[rules]]
name = "partners-keys"
identities = ["spiffe://demo.chancery/app"]
keys = ["upay-*", "paykka-*", "ayolinx-*", "paywizard-*", "oneaccess-*"]
operations = ["create", "import", "get"]
algorithms = ["*"]

[[rules]]
name = "partners"
identities = ["spiffe://demo.chancery/app"]
partners = ["*"]
operations = [
  "sign_request", "verify_callback", "verify_response", "encrypt_field", "issue_access_token", "explain_message", "get_partner",
]

[[rules]]
name = "visitor"
identities = ["spiffe://demo.chancery/visitor"]
keys = ["demo-es256"]
operations = ["verify"]
algorithms = ["ES256"]
"""

if __name__ == "__main__":
    sys.exit(main())
