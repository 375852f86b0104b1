"""An act of the demo: what is done, by which key, who checks it, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, List

from chancery import ChanceryError, Client

from counterpart import Counterpart
from daemon import Daemon, DaemonFailed
from programs import ProgramFailed
from softtoken import SoftToken


@dataclass(frozen=True)
class Scene:
    """What every act may use."""

    directory: Path
    token: SoftToken
    daemon: Daemon
    # Two callers with certificates of their own; the policy lets the second one do next to nothing.
    app: Client
    visitor: Client
    # The platforms, by the names of the partners; each has an RSA key of its own.
    counterparts: Dict[str, Counterpart] = field(default_factory=dict)


class CheckFailed(Exception):
    """Somebody else's tool does not agree with what the daemon gave."""


@dataclass
class Act:
    """A line of the table. `do` raises if anything is not as it should be, else tells the result in a few words."""

    group: str
    what: str
    key: str
    where: str
    checked_by: str
    do: Callable[[Scene], str]
    good: bool = False
    result: str = ""

    def play(self, scene: Scene) -> str:
        """Does it, and notes how it ended. Returns what there is to say of a failure."""
        try:
            self.result = self.do(scene)
            self.good = True
            return ""
        except (CheckFailed, ChanceryError, DaemonFailed, ProgramFailed) as error:
            self.result = "see below"
            return f"{self.what} ({self.key}): {error}"
        except Exception as error:  # Somebody else's library, with an error of its own.
            self.result = "see below"
            return f"{self.what} ({self.key}): {type(error).__name__}: {error}"


def expect(condition: bool, otherwise: str) -> None:
    """Raises CheckFailed, saying what was not as it should be."""
    if not condition:
        raise CheckFailed(otherwise)


MADE_THERE = "made there"
IMPORTED = "imported"
NOT_THERE = "not there"
WRAPPED = "wrapped in"
THEIRS = "theirs"

Acts = List[Act]
