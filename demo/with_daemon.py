"""Runs a command with a daemon on a fresh token beside it: with_daemon.py COMMAND ARGUMENTS...

The environment of the command tells where the daemon is. Its client may do everything with keys that begin
with `py-`, and nothing with others, of which `forbidden-key` exists. This is what the Python client's tests need.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from authority import Authority
from daemon import Daemon, DaemonFailed, executable
from programs import ProgramFailed
from softtoken import SoftToken


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with tempfile.TemporaryDirectory(prefix="chancery-test-") as name:
            return _run(Path(name), sys.argv[1:])
    except (DaemonFailed, ProgramFailed) as error:
        print(f"with_daemon: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(directory: Path, command: list[str]) -> int:
    chanceryd = executable()
    token = SoftToken(directory / "token", "test")
    token.make_key_pair("forbidden-key")
    secret = secrets.token_bytes(32)
    token.import_secret(MAC_KEY, secret)
    authority = Authority(directory / "pki")
    client = authority.client("spiffe://test.chancery/python")
    auditor = authority.client("spiffe://test.chancery/auditor")
    (directory / "policy.toml").write_text(POLICY)
    with Daemon(chanceryd, directory, token, authority, KEYS) as daemon:
        environment = {
            "CHANCERY_ADDR": daemon.address,
            "CHANCERY_CA": str(authority.certificate),
            "CHANCERY_CERT": str(client.certificate),
            "CHANCERY_KEY": str(client.key),
            "CHANCERY_TEST_AUDITOR_CERT": str(auditor.certificate),
            "CHANCERY_TEST_AUDITOR_KEY": str(auditor.key),
            "CHANCERY_TEST_MAC_KEY": MAC_KEY,
            "CHANCERY_TEST_MAC_SECRET": secret.hex(),
        }
        status = subprocess.call(command, env={**os.environ, **environment})
        if status != 0:
            tail = daemon.log.read_text().splitlines()[-20:]
            print("The daemon's last words:", *tail, sep="\n  ", file=sys.stderr)
        return status


MAC_KEY = "py-imported-secret"

KEYS = f"""
[audit]
checkpoint_seconds = 1

[[keys]]
name = "{MAC_KEY}"
purpose = "mac"
algorithms = ["HS256"]

[[keys]]
name = "forbidden-key"
purpose = "sign"
algorithms = ["RS256"]
"""

POLICY = """\
[[rules]]
name = "auditor"
identities = ["spiffe://test.chancery/auditor"]
operations = ["read_audit"]

[[rules]]
name = "python"
identities = ["spiffe://test.chancery/python"]
keys = ["py-*"]
operations = ["sign", "verify", "encrypt", "decrypt", "get", "create", "import", "request_certificate"]
algorithms = ["*"]

[[rules]]
name = "python-without-a-key"
identities = ["spiffe://test.chancery/python"]
operations = ["encrypt", "generate_random"]
"""

if __name__ == "__main__":
    sys.exit(main())
