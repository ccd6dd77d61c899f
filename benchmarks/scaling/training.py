"""Small trainings by the project's own learner on the CPU, watched while they run; also as processes of their own.

Example: python -m torch.distributed.run --nproc-per-node 2 -m benchmarks.scaling.training '{"watch": "sent"}'
"""

import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.scaling.costs import Shape
from benchmarks.training import Work
from lmlab.data.batches import Batch, Validation
from lmlab.memory import forget_peak_memory, keep_freed_memory, peak_memory_megabytes
from lmlab.training.learner import Learner
from lmlab.training.lightning import pl
from lmlab.training.processes import World
from lmlab.training.train import build_trainer

Watch = Callable[[Learner], AbstractContextManager[Any]]

STEPS = 3
"""The first makes the optimizer's states; the last is watched."""


class Training(NamedTuple):
    """What is trained."""

    width: int
    layers: int
    heads: int
    key_heads: int
    feed_forward_width: int
    vocabulary_size: int
    rows: int
    length: int
    optimizer: str = "adamw"
    accumulate: int = 1
    precision: str = "32-true"
    strategy: str = "ddp"

    @property
    def shape(self) -> Shape:
        """Of the model."""
        return Shape("", *self[:6])

    @property
    def tokens(self) -> int:
        """Of a step."""
        return self.rows * self.length

    def work(self) -> Work:
        """With text of random tokens."""
        names = ("width", "layers", "heads", "key_heads", "feed_forward_width")
        of_training = {
            "batch_rows": self.rows,
            "sequence_length": self.length,
            "accumulate": self.accumulate,
            "precision": self.precision,
        }
        overrides = [
            *("model=transformer", f"training/optimizer={self.optimizer}", "runtime.threads=1"),
            *(f"model.{name}={getattr(self, name)}" for name in names),
            *(f"training.{name}={value}" for name, value in of_training.items()),
            f"runtime.strategy={self.strategy}",
        ]
        return Work(overrides, self.vocabulary_size)


class Watched(pl.Callback):
    """Enters what watches before the last step, and leaves it after; ends the training."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._open = ExitStack()

    def on_train_batch_start(self, *given: Any, **__: Any) -> None:
        if (learner := _learner_of(given)).progress.step == STEPS - 1:
            self._open.enter_context(self._watch(learner))

    def on_train_batch_end(self, *given: Any, **__: Any) -> None:
        if _learner_of(given).progress.step == STEPS:
            self._open.close()
            given[0].should_stop = True


def _learner_of(given: tuple[Any, ...]) -> Learner:
    _, learner, *_ = given
    assert isinstance(learner, Learner)
    return learner


def train(training: Training, watch: Watch, *, world: World = World()) -> Learner:  # noqa: B008
    """Take the steps, the last one within `watch`."""
    work = training.work()
    settings = work.settings.model_copy(update={"max_steps": STEPS, "validate_every_steps": STEPS})
    one = np.zeros((world.size, 2), np.int64)
    learner = Learner(
        work.model(),
        settings,
        plan=work.plan,
        validation=Validation([Batch(one, one, False)], 2),
        runtime=work.runtime,
        seed=0,
        watch=lambda *_: None,
        world=world,
    )
    with tempfile.TemporaryDirectory() as scratch:
        trainer = build_trainer(settings, work.runtime, world, folder=Path(scratch), callbacks=[Watched(watch)])
        trainer.fit(learner)
    torch.use_deterministic_algorithms(False)
    return learner


class Held(NamedTuple):
    """Bytes of a training process, but for what passes."""

    weights: int
    gradients: int
    states: int
    """Of the optimizers."""
    saved: int
    """What the forward pass keeps for the backward pass."""


def held(training: Training, *, world: World = World()) -> Held:  # noqa: B008  an immutable value
    """What the process holds in the last step."""
    gradients, saved = [], []

    def watch(learner: Learner) -> AbstractContextManager[Any]:
        for optimizer in learner.built_optimizers:
            optimizer.register_step_pre_hook(lambda one, *_: gradients.append(_bytes_in([w.grad for w in moved(one)])))
        gradients.clear()
        model = learner.model
        return _saving(saved, {_address(tensor) for tensor in (*model.parameters(), *model.buffers())})

    learner = train(training, watch, world=world)
    weights = _bytes_in(list(learner.model.parameters()))
    states = [value for one in learner.built_optimizers for state in one.state.values() for value in state.values()]
    # AdamW counts its steps in a tensor for each weight.
    return Held(weights, sum(gradients), _bytes_in([value for value in states if value.ndim]), saved[0])


def moved(optimizer: Optimizer) -> list[Tensor]:
    """The weights that the optimizer moves."""
    return [weight for group in optimizer.param_groups for weight in group["params"]]


@contextmanager
def _saving(found: list[int], owned: set[int]) -> Iterator[None]:
    """Put into `found` the bytes that the forward pass keeps, but for storages at addresses in `owned`."""
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        if (address := _address(tensor)) not in owned:
            # As long as it is held, nothing else has its address.
            kept[address] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield
    found.append(sum(storage.nbytes() for storage in kept.values()))


def _address(tensor: Tensor) -> int:
    return _own(tensor).untyped_storage().data_ptr()


def _own(tensor: Any) -> Any:
    """Of a tensor that several processes hold together the share of this one; any other as it is."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def operations(training: Training) -> int:
    """Floating-point operations of the last step's matrix products, attention's over the whole square."""
    counter = FlopCounterMode(display=False)

    @contextmanager
    def watch(_: Learner) -> Iterator[None]:
        with sdpa_kernel(SDPBackend.MATH), counter:
            yield

    train(training, watch)
    return counter.get_total_flops()


class Collectives(TorchDispatchMode):
    """Counts what a process sends, as a ring of so many processes does it."""

    def __init__(self, processes: int) -> None:
        super().__init__()
        self.sent: Counter[str] = Counter()
        share = (processes - 1) / processes
        # Of the whole tensor: a sum is a sum to shares and a gathering of them.
        self._shares = {"allreduce_": 2 * share, "_allgather_base_": share, "_reduce_scatter_base_": share}
        self._shares |= {"all_gather_into_tensor": share}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = func.__name__.partition(".")[0]
        if func.namespace == "c10d" or name in self._shares:
            self.sent[name] += round(self._shares[name] * max(map(_bytes_in, (*args, found))))
        return found


def _bytes_in(value: Any) -> int:
    if isinstance(value, Tensor):
        return _own(value).nbytes
    return sum(map(_bytes_in, value)) if isinstance(value, list | tuple) else 0


def _loopback_bytes() -> int:
    lines = Path("/proc/net/dev").read_text(encoding="ascii").splitlines()
    [words] = [line.split(":")[1].split() for line in lines if line.strip().startswith("lo:")]
    return int(words[8])  # see proc(5): bytes that were transmitted


def main() -> None:
    """Train as the JSON argument says, and print what was watched."""
    asked = json.loads(sys.argv[1])
    watch, training, world = asked.pop("watch"), Training(**asked), World.of_environment()
    match watch:
        case "sent":
            found = sent(training, world)
        case "held":
            found = held(training, world=world)._asdict()
        case _:
            found = taken(training, keeps_freed=watch == "resident")
    if world.rank == 0:
        print(json.dumps(found), flush=True)
    # Not through what libraries do at the end: another process may be at it too.
    os._exit(0)


def sent(training: Training, world: World) -> dict[str, int]:
    """Bytes that this process sends in the last step by each collective, and what all of the machine sent by TCP."""
    collectives = Collectives(world.size)
    loopback: list[int] = []

    @contextmanager
    def watch(_: Learner) -> Iterator[None]:
        before = _loopback_bytes()
        with collectives:
            yield
        loopback.append(_loopback_bytes() - before)

    train(training, watch, world=world)
    return {**collectives.sent, "loopback": loopback[0]}


def taken(training: Training, *, keeps_freed: bool) -> dict[str, int]:
    """Bytes by which resident memory is at most higher in a training than before it."""
    if keeps_freed:
        keep_freed_memory()
    forget_peak_memory()
    before = peak_memory_megabytes()
    train(training, lambda _: nullcontext())
    return {"bytes": round((peak_memory_megabytes() - before) * 1e6)}


if __name__ == "__main__":
    main()
