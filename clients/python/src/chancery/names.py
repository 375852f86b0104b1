"""The ways to name a key, and the one that the daemon speaks."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"(?P<key>[A-Za-z0-9][A-Za-z0-9._-]{0,63})(/(?P<version>[1-9][0-9]*))?", re.ASCII)


def resource_name(key: str) -> str:
    """Turns `payouts` or `payouts/2` into a resource name; one that starts with `keys/` is taken as it is.

    A key that is itself called `keys` can therefore not be named `keys/2`: write `keys/keys/versions/2`.
    """
    if key.startswith("keys/"):
        return key
    match = _PLAIN.fullmatch(key)
    if match is None:
        raise ValueError(f"expected a key such as 'payouts', 'payouts/2' or 'keys/payouts/versions/2', got {key!r}")
    name = f"keys/{match['key']}"
    return name if match["version"] is None else f"{name}/versions/{match['version']}"
