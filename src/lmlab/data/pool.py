"""Work on one item after another, in several processes once there are enough, with the results in the items' order."""

import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Protocol, TypeVar

from lmlab.errors import InputError

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
ResultT_co = TypeVar("ResultT_co", covariant=True)

# Each waiting item and result is in memory; a process that is done must find the next one.
ITEMS_A_PROCESS = 2


class Waiting(Protocol[ResultT_co]):
    """Work that was handed over."""

    def result(self) -> ResultT_co:
        """What it came to, waited for."""
        ...

    def cancel(self) -> object:
        """Let it be left undone, if it still can be."""
        ...


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
    Raises: InputError if one of the processes dies.
    """
    items = iter(items)
    yield from map(work, items if processes == 1 else itertools.islice(items, num_here))
    for first in items:
        # Not fork: a caller may have threads, and a forked child of those may wait for ever.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=context, initializer=_follow_starter) as pool:
            try:
                waiting = itertools.chain([first], items)
                yield from handed_over(partial(pool.submit, work), waiting, ITEMS_A_PROCESS * processes)
            except BrokenProcessPool:
                raise InputError(
                    f"one of the {processes} processes that share the work was killed, perhaps because memory is full: "
                    f"run the same command again, with a lower runtime.threads (now {processes}) if it is"
                ) from None


def handed_over(
    submit: Callable[[ItemT], Waiting[ResultT]], items: Iterable[ItemT], most_waiting: int
) -> Iterator[ResultT]:
    """What becomes of each item that is submitted, in the items' order; so many at most are out at once."""
    waiting: deque[Waiting[ResultT]] = deque()
    try:
        for item in items:
            waiting.append(submit(item))
            if len(waiting) >= most_waiting:
                yield _first(waiting)
        while waiting:
            yield _first(waiting)
    finally:
        for future in waiting:
            future.cancel()


def _first(waiting: deque[Waiting[ResultT]]) -> ResultT:
    # It stays in line while it is waited for: an interrupt cancels that one too.
    found = waiting[0].result()
    waiting.popleft()
    return found


def _follow_starter() -> None:
    # Ctrl-C reaches all processes of a terminal; the one that started the others ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Where it is killed itself, they would wait for work for ever: each holds the others' pipe open.
    threading.Thread(target=_end_with_starter, daemon=True).start()


def _end_with_starter() -> None:
    starter = multiprocessing.parent_process()
    assert starter is not None
    starter.join()
    os._exit(1)
