"""A certificate authority for one run, made with the openssl command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from programs import run


@dataclass(frozen=True)
class Leaf:
    """A certificate and its private key, PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A CA of P-256 in a directory; what it signs is valid for a day."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._number = 0
        self.certificate = directory / "ca.pem"
        self._key = directory / "ca.key"
        config = directory / "ca.cnf"
        config.write_text(CA_CONFIG)
        self._make_key(self._key)
        run("openssl", "req", "-x509", "-new", "-key", self._key, "-out", self.certificate, "-days", "1", "-config", config)

    def server(self) -> Leaf:
        """For a daemon on loopback."""
        return self._issue("server", "serverAuth", "DNS:localhost,IP:127.0.0.1")

    def client(self, identity: str) -> Leaf:
        """For a caller who is known by this SPIFFE id; the certificate has no other name."""
        return self._issue(identity.rsplit("/", 1)[-1], "clientAuth", f"URI:{identity}")

    def _issue(self, name: str, usage: str, alternative_names: str) -> Leaf:
        leaf = Leaf(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        config, request = self._directory / f"{name}.cnf", self._directory / f"{name}.csr"
        config.write_text(LEAF_CONFIG.format(usage=usage, alternative_names=alternative_names))
        self._make_key(leaf.key)
        self._number += 1
        run("openssl", "req", "-new", "-key", leaf.key, "-out", request, "-config", config)
        run(
            *("openssl", "x509", "-req", "-in", request, "-out", leaf.certificate, "-days", "1"),
            *("-CA", self.certificate, "-CAkey", self._key, "-set_serial", self._number),
            *("-extfile", config, "-extensions", "extensions"),
        )
        return leaf

    def _make_key(self, path: Path) -> None:
        run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
        path.chmod(0o600)


CA_CONFIG = """\
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
O = Chancery demo CA
[extensions]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""

LEAF_CONFIG = """\
[req]
prompt = no
distinguished_name = name
[name]
O = Chancery demo
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = {usage}
subjectAltName = {alternative_names}
authorityKeyIdentifier = keyid
"""
