"""A fresh SoftHSM token for one run, and keys put into it with the tokens' own tools."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict

from programs import ROOT, ProgramFailed, run


class SoftToken:
    """A token in a directory of its own, made by softhsm/init.sh."""

    def __init__(self, directory: Path, label: str) -> None:
        run(ROOT / "softhsm" / "init.sh", directory, label)
        self.label = label
        self.module = _module()
        self.pin_file = directory / "pin"
        self.environment: Dict[str, str] = {"SOFTHSM2_CONF": str(directory / "softhsm2.conf")}
        self._directory = directory

    def import_private_key(self, label: str, pem: Path) -> None:
        """Puts a private key (PKCS#8, PEM) into the token with softhsm2-util."""
        run(
            *("softhsm2-util", "--module", self.module, "--import", pem, "--token", self.label),
            *("--label", label, "--id", label.encode().hex(), "--pin", self.pin_file.read_text()),
            environment=self.environment,
        )

    def import_secret(self, label: str, secret: bytes) -> None:
        """Puts a secret for MACs into the token with pkcs11-tool."""
        file = self._directory / "secret"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as opened:
            opened.write(secret)
        # Without --key-type: pkcs11-tool 0.23 refuses to write `GENERIC:`.
        arguments = ("--write-object", file, "--type", "secrkey", "--label", label)
        try:
            self.pkcs11_tool(*arguments, "--private", "--sensitive", "--usage-sign")
        finally:
            file.unlink()

    def make_key_pair(self, label: str) -> None:
        """Makes an RSA key in the token with pkcs11-tool, as somebody else than the daemon would."""
        self.pkcs11_tool("--keypairgen", "--key-type", "rsa:2048", "--label", label, "--usage-sign")

    def access_of_private_keys(self) -> Dict[str, str]:
        """What the token says of its private and secret keys: label to words such as `never extractable`."""
        found: Dict[str, str] = {}
        label = ""
        for kind in ("privkey", "secrkey"):
            for line in self.pkcs11_tool("--list-objects", "--type", kind).splitlines():
                name, _, value = line.strip().partition(":")
                if name == "label":
                    label = value.strip()
                elif name == "Access":
                    found[label] = value.strip()
        return found

    def pkcs11_tool(self, *arguments: object) -> str:
        """Runs pkcs11-tool, logged in to this token."""
        return run(
            *("pkcs11-tool", "--module", self.module, "--token-label", self.label),
            *("--login", "--pin", self.pin_file.read_text()),
            *(str(argument) for argument in arguments),
            environment=self.environment,
        )


def _module() -> Path:
    for pattern in MODULES:
        for path in sorted(Path("/").glob(pattern)):
            return path
    raise ProgramFailed("SoftHSM's module is not found: run softhsm/install.sh")


MODULES = [
    "usr/lib/softhsm/libsofthsm2.so",
    "usr/lib/*/softhsm/libsofthsm2.so",
    "usr/lib64/pkcs11/libsofthsm2.so",
    "usr/lib64/softhsm/libsofthsm2.so",
    "usr/lib/pkcs11/libsofthsm2.so",
    "usr/local/lib/softhsm/libsofthsm2.so",
]
