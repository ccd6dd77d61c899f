"""Small cases measured beside the formulas: the quick ones are also tests."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.scaling import costs
from benchmarks.scaling.training import Training, held, operations

EXACT, CLOSE = 0.001, 0.05
"""How far a measured value may be from its formula: a few numbers beside, or what allocators and sockets add."""
TINY = Training(64, 3, 4, 2, 160, vocabulary_size=300, rows=4, length=32)
SMALL = (
    Training(256, 4, 4, 4, 640, vocabulary_size=4096, rows=16, length=128),
    Training(512, 6, 8, 8, 1408, vocabulary_size=4096, rows=8, length=128),
    Training(512, 4, 8, 4, 1408, vocabulary_size=16384, rows=8, length=128),
)
TWO = ("-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2")
NOTHING = Training(16, 1, 1, 1, 16, vocabulary_size=300, rows=2, length=8)
"""What it takes is what every training takes."""


class Measured(NamedTuple):
    """One quantity, measured and by its formula."""

    name: str
    unit: str
    measured: float
    formula: float
    tolerance: float

    @property
    def off(self) -> float:
        """By how much the measured value is larger, as a share of the formula's."""
        return self.measured / self.formula - 1

    @property
    def agrees(self) -> bool:
        """Whether it is near enough."""
        return abs(self.off) <= self.tolerance


def of_one_process(training: Training) -> Iterator[Measured]:
    """What a process holds and computes in a step."""
    shape = training.shape
    name = f"{name_of(training)}, {training.optimizer}, {training.precision}"
    found = held(training)
    yield Measured(f"{name}: weights and gradients", "bytes", found.weights + found.gradients, 8 * shape.parameters, 0)
    states = costs.optimizer_bytes(shape, training.optimizer)
    yield Measured(f"{name}: states", "bytes", found.states, states, 0)
    saved = costs.saved_bytes(shape, training.length) * training.tokens
    if training.precision == "bf16-mixed":
        # Weights in bfloat16 are kept for the backward pass too.
        saved = costs.saved_bytes_mixed_on_cpu(shape) * training.tokens + costs.copied_bytes(shape)
    yield Measured(f"{name}: kept for the backward pass", "bytes", found.saved, saved, EXACT)
    products = 6 * (shape.matrices + shape.embedding) * training.tokens
    # The counter counts attention over the whole square, of which half is needed.
    products += 2 * costs.attention_operations(shape, training.length) * training.tokens
    if training.optimizer == "muon":
        products += costs.muon_operations(shape, on_gpu=False)
    yield Measured(f"{name}: operations", "operations", operations(training), products, 0)


def name_of(training: Training) -> str:
    """Parameters, and tokens of a step."""
    return f"{training.shape.parameters / 1e6:.2g} million, {training.tokens:,} tokens"


def in_memory(training: Training) -> Iterator[Measured]:
    """Resident memory of a whole training process, whose every block goes back to the system when it is freed."""
    halves = training._replace(accumulate=2)
    shape = training.shape
    # In the second half gradients are there while the pass keeps what it needs.
    a_token = costs.saved_bytes(shape, training.length) + costs.passing_bytes(shape)
    formula = costs.static_bytes(shape, training.optimizer) + training.tokens // 2 * a_token
    live = _taken(halves, "live") - _taken(NOTHING, "live")
    yield Measured(f"{name_of(training)}: memory", "bytes", live, formula, CLOSE)


def resident_ratio(training: Training) -> float:
    """How many times as much a training holds with the stage's own allocator settings, which are for speed."""
    halves = training._replace(accumulate=2)
    nothing = _taken(NOTHING, "live")
    return (_taken(halves, "resident") - nothing) / (_taken(halves, "live") - nothing)


def _taken(training: Training, watch: str) -> float:
    # glibc would keep blocks below this size for later.
    settings = {"MALLOC_MMAP_THRESHOLD_": "65536"} if watch == "live" else {}
    return _watched([sys.executable], training, watch, **settings)["bytes"]


def between_processes(training: Training) -> Iterator[Measured]:
    """Bytes that each of two processes sends in a step, by DDP and by FSDP."""
    shape, parts = training.shape, training.accumulate
    muon = costs.muon_bytes(shape, 2) if training.optimizer == "muon" else 0
    formulas = {"ddp": costs.ddp_bytes(shape, 2), "fsdp": parts * costs.fsdp_bytes(shape, 2) + muon}
    apart = _apart()
    for strategy, formula in formulas.items():
        found = _watched([*apart, sys.executable, *TWO], training._replace(strategy=strategy), "sent")
        loopback = found.pop("loopback")
        name = f"{name_of(training)}, {parts} {'part' if parts == 1 else 'parts'}, {training.optimizer}: "
        yield Measured(f"{name}sent by {strategy}", "bytes", sum(found.values()), formula, EXACT)
        if apart:
            # Gloo sums to shares by summing whole, which is twice as much.
            gloo = formula + (parts * 2 * shape.parameters if strategy == "fsdp" else 0)
            yield Measured(f"{name}sent by {strategy}, on the wire", "bytes", loopback / 2, gloo, CLOSE)


def shared_out(training: Training) -> Iterator[Measured]:
    """What each of two processes holds of a step by FSDP in bf16-mixed: shares, but for the copies in bfloat16."""
    shape, name = training.shape, name_of(training)
    halved = training._replace(strategy="fsdp", precision="bf16-mixed")
    found = _watched([sys.executable, *TWO], halved, "held")
    states = costs.optimizer_bytes(shape, training.optimizer)
    shares = (costs.FLOAT32 * shape.parameters + states) / 2
    yield Measured(f"{name}, fsdp: gradients and states", "bytes", found["gradients"] + found["states"], shares, EXACT)
    saved = costs.saved_bytes_mixed_on_cpu(shape) * training.tokens / 2 + costs.copied_bytes(shape)
    yield Measured(f"{name}, fsdp: kept for the backward pass, bf16-mixed", "bytes", found["saved"], saved, EXACT)


def _apart() -> list[str]:
    """What a command begins with that runs in a network of its own, where nobody else sends; empty if there is none."""
    begin = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if not all(map(shutil.which, ("unshare", "ip"))):
        return []
    return [] if subprocess.run([*begin, "true"], capture_output=True, check=False).returncode else begin


def _watched(launch: list[str], training: Training, watch: str, **settings: str) -> dict[str, float]:
    asked = json.dumps({"watch": watch, **training._asdict()})
    command = [*launch, "-m", "benchmarks.scaling.training", asked]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1", **settings}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def on_disk() -> Iterator[Measured]:
    """Bytes of a token store."""
    from lmlab.data.store import TokenStore
    from tests.corpus import encoded_corpus

    with tempfile.TemporaryDirectory() as scratch:
        tokens = encoded_corpus(Path(scratch)).tokens
        store = TokenStore.open(tokens, "train")
        num_bytes = sum(path.stat().st_size for path in tokens.iterdir() if ".train." in path.name)
        formula = costs.token_bytes(300) * len(store.tokens) + costs.INDEX_BYTES_PER_RECORD * store.num_records
    yield Measured(f"{len(store.tokens):,} tokens on disk", "bytes", num_bytes, formula, CLOSE)


def compared() -> Iterator[Measured]:
    """Memory of comparing records, for each record beyond the first ones."""
    few, many = 600_000, 1_200_000
    slope = (_comparing_bytes(many) - _comparing_bytes(few)) / (many - few)
    yield Measured("a record among duplicates", "bytes", slope, costs.COMPARED_BYTES_PER_RECORD, CLOSE)


def _comparing_bytes(num_records: int) -> int:
    from lmlab.data.cleaning.comparing import Comparison, Marks
    from lmlab.data.cleaning.near import Signed
    from pipelines.compose import compose
    from pipelines.settings import validate_params

    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        comparison = Comparison(Path(scratch) / "comparison", validate_params(compose([]))["cleaning"])
        for begin in range(0, num_records, 5000):
            size = min(5000, num_records - begin)
            signatures = draw.integers(0, 2**32, (size, 128), np.uint32)
            signed = Signed(np.ones(size, np.bool_), signatures, np.zeros(size, np.uint64))
            comparison.add("train", Marks(size, draw.integers(0, 2**64, size, np.uint64), signed))
        tracemalloc.start()
        comparison.decide()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def quick() -> list[Measured]:
    """What takes seconds, in this process alone."""
    trainings = [TINY, TINY._replace(optimizer="muon"), TINY._replace(precision="bf16-mixed", key_heads=4)]
    return [found for training in trainings for found in of_one_process(training)] + list(on_disk())


def everything() -> Iterator[Measured]:
    """All cases; takes minutes."""
    yield from quick()
    works: list[Callable[[Training], Iterator[Measured]]] = [of_one_process, in_memory]
    for training in SMALL:
        for work in works:
            yield from work(training)
    for changes in ({"accumulate": 1}, {"accumulate": 2, "optimizer": "muon"}):
        yield from between_processes(SMALL[0]._replace(**changes))
    yield from shared_out(TINY._replace(key_heads=4))
    yield from compared()
