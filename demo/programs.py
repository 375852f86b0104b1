"""Running other people's programs, and saying well what they said when they fail."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Mapping, Optional, Union

ROOT = Path(__file__).resolve().parent.parent


class ProgramFailed(Exception):
    """A program that is needed is missing, or ended with another status than 0."""


def run(*command: Union[str, int, Path], environment: Optional[Mapping[str, str]] = None) -> str:
    """Runs a command to its end and gives its stdout."""
    words = [str(word) for word in command]
    done = _completed(words, environment)
    if done.returncode != 0:
        raise ProgramFailed(f"{words[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def succeeds(*command: Union[str, int, Path]) -> bool:
    """Whether a command ends with status 0."""
    return _completed([str(word) for word in command], None).returncode == 0


def _completed(words: list[str], environment: Optional[Mapping[str, str]]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
    except FileNotFoundError as error:
        raise ProgramFailed(f"{words[0]} is missing: run softhsm/install.sh") from error
    except subprocess.TimeoutExpired as error:
        raise ProgramFailed(f"{words[0]} did not end within {error.timeout:.0f} seconds") from error
