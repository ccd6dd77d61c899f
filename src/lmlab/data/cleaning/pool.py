"""Work on one item after another, in several processes once there are enough, with the results in the items' order."""

import itertools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

# Each waiting item and result is in memory; a process that is done must find the next one.
ITEMS_A_PROCESS = 2


def num_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(
    work: Callable[[ItemT], ResultT], items: Iterable[ItemT], *, processes: int, num_here: int
) -> Iterator[ResultT]:
    """What `work`, which can be pickled, makes of each item; the first `num_here` items are done in this process.

    Starting processes takes seconds, which few items do not win back.
    """
    items = iter(items)
    yield from map(work, items if processes == 1 else itertools.islice(items, num_here))
    for first in items:
        # Not fork: a caller may have threads, and a forked child of those may wait for ever.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=context, initializer=_leave_interrupts) as pool:
            yield from _pooled(pool, work, itertools.chain([first], items), ITEMS_A_PROCESS * processes)


def _pooled(
    pool: ProcessPoolExecutor, work: Callable[[ItemT], ResultT], items: Iterable[ItemT], most_waiting: int
) -> Iterator[ResultT]:
    waiting: deque[Future[ResultT]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= most_waiting:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _leave_interrupts() -> None:
    # Ctrl-C reaches all processes of a terminal; the one that started the others ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
