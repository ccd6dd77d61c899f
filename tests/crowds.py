"""Many clients that ask a server at once, and what they got."""

import json
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.error import HTTPError

Ask = Callable[[str], str]
"""Gives the answer to a question; raises what went wrong."""


class RefusedError(Exception):
    """A server did not answer a question, and said why."""


class Answered(NamedTuple):
    """One question of one client."""

    question: str
    answer: str
    """Empty where there was a fault."""
    fault: str
    """One line; empty where there was an answer."""
    seconds: float


def crowd(new_client: Callable[[], Ask], questions: Sequence[str], *, clients: int, seconds: float) -> list[Answered]:
    """What so many clients got that share these questions, each asking one after another.

    No question is begun after so many seconds.
    """
    ends = time.monotonic() + seconds
    waiting = iter(questions)

    def client() -> list[Answered]:
        ask = new_client()
        answered = []
        # `next` of one iterator hands each question to one of the threads.
        while time.monotonic() < ends and (question := next(waiting, None)) is not None:
            answered.append(_asked(ask, question))
        return answered

    with ThreadPoolExecutor(clients) as threads:
        running = [threads.submit(client) for _ in range(clients)]
        return [one for answered in running for one in answered.result()]


def _asked(ask: Ask, question: str) -> Answered:
    begin = time.perf_counter()
    try:
        answer, fault = ask(question), ""
    except Exception as error:  # whatever went wrong is what the crowd is there to find
        answer, fault = "", f"{type(error).__name__}: {error}".splitlines()[0]
    return Answered(question, answer, fault, time.perf_counter() - begin)


def faults_of(answered: Sequence[Answered], expected: Mapping[str, str]) -> list[str]:
    """A line for each question that got no answer, or another than when it was asked alone."""
    return [
        one.fault or f"{one.question!r}: got {one.answer!r}, alone {expected[one.question]!r}"
        for one in answered
        if one.fault or one.answer != expected[one.question]
    ]


def asks_mlflow(address: str, field: str, **params: float) -> Ask:
    """Asks what `mlflow models serve` serves at this address, by the one field of its task.

    Raises, when it asks: RefusedError for any status but 200.
    """

    def ask(text: str) -> str:
        content = {"inputs": {field: [text]}, **({"params": params} if params else {})}
        request = urllib.request.Request(
            address, json.dumps(content).encode(), headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["predictions"][0]["text"]
        except HTTPError as error:
            with error:
                raise RefusedError(f"{error.code} {error.read().decode()}") from None

    return ask
