"""Several processes that train one model: which one this is, what each reads, and how the others are started.

    batch number s   rows 0 1 2 3 | rows 4 5 6 7 |      the batch law holds for all of them together
    process          rank 0       | rank 1       |

Each process reads its rows of every batch, and gradients are averaged: the result is that of one process but for the
order of its sums. Rank 0 alone writes. On one machine the stage starts the others by itself (`runtime.devices`);
torchrun starts all of them, each with the stage's whole command.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from lmlab.errors import InputError
from lmlab.gpu import uses_gpu
from lmlab.runtime import RuntimeSettings

CHILD_MODULE = "lmlab.training.other_process"
LONGEST_FOLDER_OF_SOCKETS = 103 - len("/pymp-12345678/listener-12345678")
"""Of the 103 characters that macOS, the strictest system, allows for a socket (Linux 107)."""
SECONDS_TO_FAIL = 10.0
"""After another process has ended: how long this one may take to notice it by itself."""


class World(NamedTuple):
    """All processes of a training, as one of them sees it."""

    rank: int = 0
    size: int = 1
    local_size: int = 1
    """Processes on this machine."""
    local_rank: int = 0

    @classmethod
    def of_environment(cls) -> "World":
        """What torchrun, or the stage itself, has told this process."""
        size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        local_size = int(os.environ.get("LOCAL_WORLD_SIZE", str(size)))
        return cls(rank, size, local_size, int(os.environ.get("LOCAL_RANK", str(rank))))

    def part(self, num_rows: int) -> slice:
        """The rows of a batch that this process reads."""
        return slice(num_rows * self.rank // self.size, num_rows * (self.rank + 1) // self.size)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, which must all ask for it."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def agree(self, value: Any) -> Any:
        """What rank 0 has, on every process."""
        if self.size == 1:
            return value
        held = [value]
        distributed.broadcast_object_list(held)
        return held[0]

    def gather_rows(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Tensors of all rows from those of each process's rows, of which all have as many."""
        if self.size == 1:
            return tensors
        gathered = []
        for tensor in tensors:
            parts = [torch.empty_like(tensor) for _ in range(self.size)]
            distributed.all_gather(parts, tensor.contiguous())
            gathered.append(torch.cat(parts))
        return tuple(gathered)


def shard(model: nn.Module, mesh: "distributed.device_mesh.DeviceMesh") -> None:
    """Let each process hold a part of every weight; each layer is put together only while it computes (FSDP)."""
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    for layers in reversed(lists):
        for layer in layers:
            fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for method in ("read", "logits"):
        register_fsdp_forward_method(model, method)


def whole(values: Mapping[Any, Any]) -> dict[Any, Any]:
    """A state dictionary whose sharded tensors are put together, on every process; all must ask for it."""
    found = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found[name] = whole(value)
        else:
            found[name] = entire(value) if isinstance(value, Tensor) else value
    return found


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put whole weights into a model, sharded or not."""
    held = model.state_dict()
    model.load_state_dict({name: _laid_out_as(held[name], weight) for name, weight in weights.items()})


def load_optimizer(optimizer: Optimizer, content: dict[str, Any]) -> None:
    """Put a whole state into an optimizer of weights that are sharded or not."""
    moved = [weight for group in optimizer.param_groups for weight in group["params"]]
    state = {
        number: {name: _laid_out_as(moved[number], value) for name, value in values.items()}
        for number, values in content["state"].items()
    }
    optimizer.load_state_dict({**content, "state": state})


def _laid_out_as(held: Tensor, value: Any) -> Any:
    return cut_as(held, value) if isinstance(value, Tensor) and value.shape == held.shape else value


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process holds but a part of it."""
    return hasattr(tensor, "full_tensor")


def entire(tensor: Tensor) -> Tensor:
    """A sharded tensor put together, which all processes must ask for; any other as it is."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[operator]


def cut_as(held: Tensor, tensor: Tensor) -> Tensor:
    """A whole tensor cut as `held` is, which need not be sharded."""
    if not is_sharded(held):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(held, DTensor)
    return distribute_tensor(tensor.to(held.device), held.device_mesh, held.placements, src_data_rank=None)


def check_devices(runtime: RuntimeSettings) -> None:
    """Raise InputError where the machine has fewer GPUs than processes are asked for."""
    if uses_gpu(runtime) and runtime.devices > torch.cuda.device_count():
        raise InputError(
            f"runtime.devices: {runtime.devices} processes, but this machine has {torch.cuda.device_count()} GPUs: "
            "as many at most, or runtime.accelerator=cpu"
        )


def check_loaders(runtime: RuntimeSettings) -> None:
    """Raise InputError where processes that load batches could send none, which a training would wait for for ever.

    They send through sockets in the folder for temporary files, and a system bounds the length of a socket's path.
    """
    folder = tempfile.gettempdir()
    if runtime.workers and len(os.fsencode(folder)) > LONGEST_FOLDER_OF_SOCKETS:
        raise InputError(
            f"runtime.workers: the path of the folder for temporary files is too long for processes that load batches "
            f"({folder}): TMPDIR with {LONGEST_FOLDER_OF_SOCKETS} characters at most, or runtime.workers=0"
        )


@contextmanager
def started_processes(runtime: RuntimeSettings, task: Mapping[str, Any]) -> Iterator[World]:
    """The world of this process, rank 0, with the others at work on `task` until the end.

    Raises: InputError if one of the others ended before.
    """
    if "RANK" in os.environ or runtime.devices == 1:
        yield World.of_environment()
        return
    check_devices(runtime)
    others = _start_others(runtime.devices, json.dumps(task))
    watch = _Watch(others)
    try:
        yield World.of_environment()
    except RuntimeError:
        # What this process says of a lost connection is not the cause.
        watch.raise_if_ended()
        raise
    finally:
        watch.end()
        leave_group()
        for name in _environment(0, 1, port=0):
            os.environ.pop(name, None)


def leave_group() -> None:
    """Let the next training of this process form a group of its own."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _environment(rank: int, size: int, *, port: int) -> dict[str, str]:
    """What torchrun would tell a process of one machine."""
    numbers = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": size,
        "LOCAL_WORLD_SIZE": size,
        "GROUP_RANK": 0,
        "MASTER_PORT": port,
    }
    return {**{name: str(number) for name, number in numbers.items()}, "MASTER_ADDR": "127.0.0.1"}


def _start_others(size: int, task: str) -> list[subprocess.Popen[str]]:
    """Start all processes but this one, which becomes rank 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    others = []
    for rank in range(1, size):
        environment = os.environ | _environment(rank, size, port=port)
        # The pipe stays open as long as this process lives: its end tells the other.
        other = subprocess.Popen(
            [sys.executable, "-m", CHILD_MODULE], env=environment, stdin=subprocess.PIPE, text=True
        )
        assert other.stdin is not None
        other.stdin.write(f"{task}\n")
        other.stdin.flush()
        others.append(other)
    os.environ.update(_environment(0, size, port=port))
    return others


class _Watch:
    """Looks after the other processes: where one has ended too early, this one must not wait for it."""

    def __init__(self, others: Sequence[subprocess.Popen[str]]) -> None:
        self._others = others
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def raise_if_ended(self) -> None:
        """Raise InputError if a process has ended, or does within a moment."""
        limit = time.monotonic() + SECONDS_TO_FAIL
        while time.monotonic() < limit:
            if (said := self._said()) is not None:
                raise InputError(said) from None
            time.sleep(0.1)

    def end(self) -> None:
        """End the watch and the processes."""
        self._is_over.set()
        self._thread.join()
        for other in self._others:
            other.kill()
            assert other.stdin is not None
            other.stdin.close()
            other.wait()

    def _said(self) -> str | None:
        codes = {rank: other.poll() for rank, other in enumerate(self._others, start=1)}
        ended = [f"{rank} (exit code {code})" for rank, code in codes.items() if code]
        if not ended:
            return None
        return (
            f"process {', '.join(ended)} of the {1 + len(self._others)} that train has ended: run the same command "
            "again, which goes on after the last checkpoint"
        )

    def _look(self) -> None:
        while not self._is_over.wait(0.5):
            if (said := self._said()) is not None:
                # A call that waits for the lost process cannot be interrupted in any other way.
                if not self._is_over.wait(SECONDS_TO_FAIL):
                    print(f"error: {said}", file=sys.stderr, flush=True)
                    os._exit(2)
                return
