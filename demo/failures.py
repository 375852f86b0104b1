"""A worker killed, and another made to hang, while several threads sign: who notices, and for how long."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import Callable, List

from chancery import ChanceryError, Client, EcdsaEncoding, Verification

from acts import MADE_THERE, Act, Acts, CheckFailed, Scene, expect

KEY = "demo-es256"
THREADS = 6
# The configuration says how long an operation may take; a worker that hangs is found then.
OPERATION_TIMEOUT = 1.0


def acts() -> Acts:
    """One for each way to fail."""
    checked_by = f"{THREADS} callers"
    return [
        Act("fail", "worker killed (SIGKILL)", KEY, MADE_THERE, checked_by, _with_signal(signal.SIGKILL)),
        Act("fail", "worker hung (SIGSTOP)", KEY, MADE_THERE, checked_by, _with_signal(signal.SIGSTOP)),
    ]


@dataclass
class Run:
    """What the threads of one run saw."""

    signed: int = 0
    failed: List[str] = field(default_factory=list)
    longest: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)

    def sign(self, client: Client, thread: int) -> None:
        """Signs until the run is over; every call ends in a signature or an error, and is counted."""
        number = 0
        while not self.over.is_set():
            number += 1
            message = b"%d of %d" % (number, thread)
            began = time.monotonic()
            failure = ""
            try:
                client.sign(KEY, "ES256", message=message, ecdsa_encoding=EcdsaEncoding.RAW)
            except ChanceryError as error:
                failure = str(error)
            took = time.monotonic() - began
            with self.lock:
                self.longest = max(self.longest, took)
                if failure:
                    self.failed.append(failure)
                else:
                    self.signed += 1


def _with_signal(number: signal.Signals) -> Callable[[Scene], str]:
    def do(scene: Scene) -> str:
        known = len(scene.daemon.ready_workers())
        victim = scene.daemon.workers()[0]
        run = Run()
        threads = [threading.Thread(target=run.sign, args=(scene.app, one), daemon=True) for one in range(THREADS)]
        for thread in threads:
            thread.start()
        try:
            _wait_until(lambda: run.signed >= 50, "the threads do not sign")
            struck = time.monotonic()
            os.kill(victim, number)
            scene.daemon.wait_for_worker(known)
            back = time.monotonic() - struck
            after = run.signed
            _wait_until(lambda: run.signed >= after + 50, "nobody signs any more")
        finally:
            run.over.set()
            for thread in threads:
                thread.join(timeout=20)
        expect(not any(thread.is_alive() for thread in threads), "a caller never got an answer")
        expect(victim not in scene.daemon.workers(), f"worker {victim} is still there")
        expect(not run.failed, f"{len(run.failed)} callers got an error; the first: {(run.failed or [''])[0]}")
        _check_next(scene)
        return (
            f"{run.signed} answered, {len(run.failed)} errors; "
            f"new worker after {_span(back)}, longest wait {_span(run.longest)}"
        )

    return do


def _check_next(scene: Scene) -> None:
    signed = scene.app.sign(KEY, "ES256", message=b"next", ecdsa_encoding=EcdsaEncoding.RAW)
    verdict: Verification = scene.app.verify(
        KEY, "ES256", signed.signature, message=b"next", ecdsa_encoding=EcdsaEncoding.RAW
    )
    expect(bool(verdict), "the next signature is not valid")


def _wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            raise CheckFailed(otherwise)
        time.sleep(0.001)


def _span(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"
