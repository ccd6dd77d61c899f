"""Points of curves on their way to a store: gathered on the training's thread, sent by another one."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from lmlab.tracking.store import first_line

_LOGGER = logging.getLogger("lmlab")

SEND_EVERY_SECONDS = 3.0
RETRY_AFTER_SECONDS = 30.0
POINTS_PER_CALL = 1000  # MLflow takes no more at once


class Point(NamedTuple):
    """One metric's value at an optimizer step; the time is in milliseconds since 1970."""

    key: str
    value: float
    step: int
    time: int


def points_of(metrics: Mapping[str, float], *, step: int) -> list[Point]:
    """A point of this moment for each metric."""
    now = time.time_ns() // 1_000_000
    return [Point(key, float(value), step, now) for key, value in metrics.items()]


class CurveWriter:
    """Sends points in batches, in order, each once; after a failure it warns, keeps them and tries again later.

    Points at or before a key's last step in the store are dropped: a resumed training tells them again.
    """

    def __init__(self, send: Callable[[Sequence[Point]], None], *, last_steps: Mapping[str, int]) -> None:
        self._send = send
        self._last_steps = last_steps
        self._waiting: list[Point] = []
        self._gathering = threading.Lock()
        self._sending = threading.Lock()
        self._stop = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._work, name="lmlab-curves", daemon=True)
        self._thread.start()

    def add(self, points: Iterable[Point]) -> None:
        """Take points; returns at once."""
        new = [point for point in points if point.step > self._last_steps.get(point.key, -math.inf)]
        with self._gathering:
            self._waiting += new

    def flush(self) -> bool:
        """Send every waiting point now; false if the store did not take them all."""
        with self._sending:
            return self._send_waiting()

    def close(self) -> bool:
        """Stop the thread and send what is left; false if the store did not take it all."""
        self._stop.set()
        self._thread.join()
        return self.flush()

    def _work(self) -> None:
        while not self._stop.wait(RETRY_AFTER_SECONDS if self._failing else SEND_EVERY_SECONDS):
            self.flush()

    def _send_waiting(self) -> bool:
        while True:
            with self._gathering:
                batch = self._waiting[:POINTS_PER_CALL]
            if not batch:
                return True
            try:
                self._send(batch)
            except Exception as error:  # a store fails in many ways, and none may reach the training
                self._warn_once(error)
                return False
            self._failing = False
            with self._gathering:
                del self._waiting[: len(batch)]

    def _warn_once(self, error: Exception) -> None:
        if not self._failing:
            _LOGGER.warning(
                "the tracking store took no points (%s); the training goes on, and they are sent again later",
                first_line(error),
            )
        self._failing = True
