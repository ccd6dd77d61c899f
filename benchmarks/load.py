"""How the model server and the playground bear many clients at once, on 127.0.0.1 alone.

A model of the default shape is trained for a moment and registered. `mlflow models serve` serves it, then the page of
`pipelines.play` does; each is asked by 1, 4 and 16 clients in turns. Ends with 1 if an answer is missing, or is another
than the one that its question got alone.

Example: python -m benchmarks.load --clients 1 4 16 --questions 120 --rounds 4
"""

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from benchmarks.measuring import Case, report
from tests.corpus import NOUNS, VERBS
from tests.crowds import Answered, Ask, asks_mlflow, crowd, faults_of
from tests.pipelines.tiny import kill_group, new_project, run_command, start_command
from tests.playground.visitors import Visitor
from tests.tracking.servers import model_server

MODEL = "models:/language_modeling/1"
TRAINING = [
    *("source=files", "source.path=my.txt", "source.documents=paragraphs", "tokenizer.vocabulary_size=500"),
    *("training.max_steps=100", "training.validate_every_steps=50", "training.warmup_steps=10"),
    *("export.artifacts=[bundle]", "evaluation.baselines.training_megabytes=1", "runtime.threads=1"),
]
GREEDY = {"temperature": 0.0, "max_new_tokens": 60}
QUESTIONS = [f"the {noun} {verb}" for noun in NOUNS for verb in VERBS]
SHARES = {"half": 50, "95 %": 95, "99 %": 99}


class Server(NamedTuple):
    """One of the two, while it runs."""

    name: str
    new_client: Callable[[], Ask]


class Found(NamedTuple):
    """What one server did."""

    cases: list[Case]
    num_asked: int
    faults: list[str]


def main() -> int:
    """Measure both servers, write the report, and say what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--questions", type=int, default=120, help="of all clients together, a round (default: 120)")
    parser.add_argument("--rounds", type=int, default=4, help="default: 4")
    parser.add_argument("--seconds", type=float, default=60, help="after which a round ends (default: 60)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        project = trained_project(Path(scratch) / "project")
        found = []
        for server in (served_by_mlflow, playground):
            with server(project) as running:
                found.append(measure(running, options))
    num_asked, faults = sum(one.num_asked for one in found), [fault for one in found for fault in one.faults]
    cases = [case for one in found for case in one.cases]
    report("load", "How do the servers bear many clients at once?", cases, notes=notes(num_asked, len(faults)))
    for fault in faults[:10]:
        print(fault, file=sys.stderr)
    return int(bool(faults))


def notes(num_asked: int, num_faults: int) -> str:
    """What was asked, and how many answers were right."""
    return (
        f"Greedy answers of up to {GREEDY['max_new_tokens']:.0f} tokens from a Transformer of the default shape. "
        f"{num_asked:,} questions, of which {num_faults} got no answer, or another than alone. The clients run on the "
        "same cores; MLflow answers several questions side by side, the page one after another. Memory is that of all "
        "processes of a server."
    )


def trained_project(project: Path) -> Path:
    """A project whose store has a registered model."""
    new_project(project)
    (project / "params.yaml").unlink()
    done = run_command(project, "run", *TRAINING)
    if done.returncode:
        raise SystemExit(done.stderr)
    return project


@contextmanager
def served_by_mlflow(project: Path) -> Iterator[Server]:
    """As the README says."""
    with model_server(MODEL, store=f"sqlite:///{project}/mlflow.db", folder=project) as address:
        yield Server("mlflow models serve", lambda: asks_mlflow(address, "text", **GREEDY))


@contextmanager
def playground(project: Path) -> Iterator[Server]:
    """With visitors who open the page and then ask it."""
    process = start_command(project, "play", "--port", "0", "--model", MODEL)

    def new_client() -> Ask:
        visitor = Visitor(address)
        visitor.arrive()
        return lambda text: visitor.ask(text, **GREEDY, top_k=0, top_p=1)

    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        if found is None:
            raise SystemExit(said + process.stdout.read())
        address = found.group()
        yield Server("pipelines.play", new_client)
    finally:
        kill_group(process)


def measure(server: Server, options: argparse.Namespace) -> Found:
    """Ask each question alone, then all of them by so many clients at once, in turns."""
    alone = crowd(server.new_client, QUESTIONS, clients=1, seconds=options.seconds)
    expected = {one.question: one.answer for one in alone}
    asked = [QUESTIONS[number % len(expected)] for number in range(options.questions)]
    rates, latencies, memory, faults = {}, {}, [], [one.fault for one in alone if one.fault]
    num_asked = len(alone)
    # The first round warms up.
    for number in range(1 + options.rounds):
        for clients in options.clients:
            begin = time.perf_counter()
            answered = crowd(server.new_client, asked, clients=clients, seconds=options.seconds)
            rate = len(answered) / (time.perf_counter() - begin)
            faults += faults_of(answered, expected)
            num_asked += len(answered)
            if number:
                way = f"{clients} {'client' if clients == 1 else 'clients'}"
                rates.setdefault(way, []).append(rate)
                latencies.setdefault(way, []).append(answered)
        memory.append(megabytes_of_children())
    cases = [Case(f"{server.name}, answers", "answers/s", True, rates)]
    cases += [within(server, name, share, latencies) for name, share in SHARES.items()]
    held = {"after the first round": memory[:1], f"after {options.rounds} more": memory[-1:]}
    return Found([*cases, Case(f"{server.name}, memory", "MB", False, held)], num_asked, faults)


def within(server: Server, name: str, share: int, latencies: dict[str, list[Sequence[Answered]]]) -> Case:
    """The milliseconds within which this share of the questions was answered, round by round."""
    values = {
        way: [float(np.percentile([one.seconds * 1000 for one in answered], share)) for answered in rounds]
        for way, rounds in latencies.items()
    }
    return Case(f"{server.name}, {name} within", "ms", False, values)


def megabytes_of_children() -> float:
    """Resident memory of all processes that this one has started, in megabytes of 10^6 bytes."""
    return sum(child.memory_info().rss for child in psutil.Process().children(recursive=True)) / 1e6


if __name__ == "__main__":
    sys.exit(main())
