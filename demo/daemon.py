"""`chanceryd serve` on loopback for as long as a `with` block lasts, and its workers."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from authority import Authority
from softtoken import SoftToken


class DaemonFailed(Exception):
    """The daemon did not start."""


class Daemon:
    """A running daemon. Its log is a file, one JSON object a line."""

    def __init__(self, executable: Path, directory: Path, token: SoftToken, authority: Authority, rest: str) -> None:
        """Writes the configuration into `directory`, where policy.toml must be. `rest` follows its `[[tokens]]` part."""
        server = authority.server()
        (directory / "state").mkdir(mode=0o700)
        self._config = directory / "chancery.toml"
        self._config.write_text(
            CONFIG.format(
                certificate=server.certificate,
                key=server.key,
                ca=authority.certificate,
                module=token.module,
                label=token.label,
                pin=token.pin_file,
                conf=token.environment["SOFTHSM2_CONF"],
            )
            + rest
        )
        self._executable = executable
        self.log = directory / "chanceryd.log"
        self._process: Optional[subprocess.Popen[bytes]] = None
        self.address = ""
        self.admin = ""

    def __enter__(self) -> Daemon:
        with open(self.log, "wb") as log:
            # In a session of its own: Ctrl-C on the terminal must reach it through us, not beside us.
            self._process = subprocess.Popen(
                [self._executable, "serve", "--config", self._config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def workers(self) -> List[int]:
        """The process ids of the workers that there are now."""
        assert self._process is not None
        return sorted(
            pid
            for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
            if _parent(pid) == self._process.pid
        )

    def ready_workers(self) -> List[int]:
        """The process ids of all workers that ever said that they were ready, in order."""
        return [line["pid"] for line in self._lines() if line.get("message") == "worker ready"]

    def wait_for_worker(self, known: int, limit: float = 10.0) -> None:
        """Waits until more than `known` workers have said that they were ready."""
        deadline = time.monotonic() + limit
        while len(self.ready_workers()) <= known:
            if time.monotonic() > deadline:
                raise DaemonFailed(f"no new worker within {limit:.0f} seconds")
            time.sleep(0.001)

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for line in self._lines():
                if line.get("message") == "ready":
                    self.address, self.admin = line["address"], line.get("admin", "")
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        raise DaemonFailed(f"chanceryd did not start; its log:\n{self.log.read_text()}")

    def _lines(self) -> Iterator[Dict[str, Any]]:
        for line in self.log.read_text().splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue

    def _stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _parent(pid: int) -> Optional[int]:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("PPid:"):
                return int(line.split()[1])
    except OSError:
        pass  # It has ended meanwhile.
    return None


def executable() -> Path:
    """The daemon that was built: $CHANCERYD."""
    path = Path(os.environ.get("CHANCERYD", ""))
    if not path.is_file():
        raise DaemonFailed("CHANCERYD does not name the built daemon: use `make demo` or `make test`")
    return path.resolve()


CONFIG = """\
state_directory = "state"
policy = "policy.toml"

[server]
address = "127.0.0.1:0"

[tls]
certificate = "{certificate}"
private_key = "{key}"
client_ca = "{ca}"

[admin]
address = "127.0.0.1:0"
jwks_keys = ["*"]

[log]
format = "json"

[[tokens]]
name = "main"
module = "{module}"
label = "{label}"
pin = {{ file = "{pin}" }}
workers = 2
environment = {{ SOFTHSM2_CONF = "{conf}" }}
"""
