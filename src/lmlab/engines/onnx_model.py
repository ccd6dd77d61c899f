"""A language model that onnxruntime runs on the CPU."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lmlab.engines.graph import NUM_WANTED, TOTAL, USED, Graph, StateTensor, graph_of
from lmlab.errors import InputError
from lmlab.files import read_json
from lmlab.models.architectures.language_model import LanguageModel, Reader, State, StateReader

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, IOBinding, OrtValue

GRAPH_NAME = "model.onnx"
CONFIG_NAME = "config.json"
ERRORS_ONLY = 3


def engine_of(model: LanguageModel) -> LanguageModel:
    """The fastest that answers as the model does where it is: onnxruntime on a CPU, if it can run such a model."""
    if model.device.type != "cpu":
        return model
    graph = graph_of(model, fused=True)
    if graph is None:
        return model
    return OnnxLanguageModel.from_graph(graph, like=model)


class OnnxLanguageModel(LanguageModel):
    """A graph of `lmlab.engines.graph`; what it calls features are the logits themselves."""

    def __init__(self, session: "InferenceSession", state: list[StateTensor], *, context_length: int | None) -> None:
        super().__init__()
        self.session, self.state, self.context_length = session, state, context_length
        self.vocabulary_size = session.get_outputs()[0].shape[2]
        inputs = {given.name for given in session.get_inputs()}
        self.is_fused, self._has_cache = NUM_WANTED in inputs, USED in inputs

    @classmethod
    def from_graph(cls, graph: Graph, *, like: LanguageModel) -> "OnnxLanguageModel":
        """The graph of this model in memory."""
        session = open_session(graph.model.SerializeToString())
        return cls(session, graph.state, context_length=like.context_length)

    @property
    def device(self) -> torch.device:
        """Always the CPU."""
        return torch.device("cpu")

    def read(
        self, tokens: Int[Tensor, "batch time"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch time vocabulary"], State]:
        """The logits, and the state after the last token."""
        return self._run(tokens, state, num_wanted=tokens.shape[1])

    def logits(self, features: Float[Tensor, "*positions vocabulary"]) -> Float[Tensor, "*positions vocabulary"]:
        """What `read` gave."""
        return features

    def last_logits(
        self, tokens: Int[Tensor, "batch time"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """The logits of the token after the last of these, and the state after it."""
        logits, after = self._run(tokens, state, num_wanted=1)
        return logits[:, -1], after

    def reader(self, *, rows: int, length: int) -> Reader:
        """A reader that allocates nothing as it reads, but for a state that grows and cannot do so in place."""
        is_fixed = all(None not in one.shape for one in self.state)
        if self.is_fused and (self._has_cache or is_fixed):
            return BoundReader(self, rows=rows, length=length)
        return StateReader(self)

    def empty_state(self, rows: int) -> list[np.ndarray]:
        """The state before anything was read."""
        return [np.zeros((rows, *(size or 0 for size in one.shape)), np.float32) for one in self.state]

    def extra_inputs(self, *, rows: int, past: int, time: int, num_wanted: int) -> dict[str, np.ndarray]:
        """What a fused graph wants to know beside tokens and state."""
        if not self.is_fused:
            return {}
        extra: dict[str, np.ndarray] = {NUM_WANTED: np.array([num_wanted], np.int64)}
        if self._has_cache:
            extra |= {USED: np.full(rows, past + time - 1, np.int32), TOTAL: np.array([past + time], np.int32)}
        return extra

    def _run(self, tokens: Tensor, state: State | None, *, num_wanted: int) -> tuple[Tensor, State]:
        rows, time = tokens.shape
        if self._has_cache and state is not None and min(rows, time) > 1:
            return self._one_by_one(tokens, state, num_wanted=num_wanted)
        before = self.empty_state(rows) if state is None else [tensor.numpy() for tensor in state]
        past = before[0].shape[2] if self._has_cache else 0
        inputs = {one.before: array for one, array in zip(self.state, before, strict=True)}
        inputs |= self.extra_inputs(rows=rows, past=past, time=time, num_wanted=num_wanted)
        logits, *after = self.session.run(None, {"tokens": tokens.numpy(), **inputs})
        return torch.from_numpy(logits), tuple(torch.from_numpy(array) for array in after)

    def _one_by_one(self, tokens: Tensor, state: State, *, num_wanted: int) -> tuple[Tensor, State]:
        # onnxruntime's operator reads on by several tokens in a batch of one only.
        logits: list[Tensor] = []
        for token in tokens.split(1, dim=1):
            read, state = self._run(token, state, num_wanted=1)
            logits.append(read)
        return torch.cat(logits[-num_wanted:], dim=1), state


class BoundReader(Reader):
    """Binds the same memory to every step: keys and values are written in place, cells go back and forth.

    The logits of a read are overwritten by the next one.
    """

    def __init__(self, model: OnnxLanguageModel, *, rows: int, length: int) -> None:
        self._model, self._past = model, 0
        self._tokens = np.zeros((rows, 1), np.int64)
        self._extra = model.extra_inputs(rows=rows, past=0, time=1, num_wanted=1)
        self._counts = (self._extra[USED], self._extra[TOTAL]) if USED in self._extra else None
        self._run = model.session.run_with_iobinding
        self._logits = np.zeros((rows, 1, model.vocabulary_size), np.float32)
        self._last_logits = torch.from_numpy(self._logits)[:, -1]
        shapes = [(rows, *(size or length for size in one.shape)) for one in model.state]
        before = [np.zeros(shape, np.float32) for shape in shapes]
        after = [
            cache if None in one.shape else np.zeros_like(cache) for one, cache in zip(model.state, before, strict=True)
        ]
        self._bindings = [self._bind(before, after)]
        if any(ours is not theirs for ours, theirs in zip(before, after, strict=True)):
            self._bindings.append(self._bind(after, before))

    def _bind(self, before: list[np.ndarray], after: list[np.ndarray]) -> "IOBinding":
        binding = self._model.session.io_binding()
        for name, array in {"tokens": self._tokens, **self._extra}.items():
            binding.bind_ortvalue_input(name, _view(array))
        for one, ours, theirs in zip(self._model.state, before, after, strict=True):
            binding.bind_ortvalue_input(one.before, _view(ours))
            binding.bind_ortvalue_output(one.after, _view(theirs))
        binding.bind_ortvalue_output("logits", _view(self._logits))
        return binding

    def read(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch vocabulary"]:
        """Read on; the logits of the token after the last."""
        if tokens.shape[1] == 1:
            self._tokens[:] = tokens.numpy()
            self._step(1)
        else:
            binding = self._bindings[0]
            binding.bind_ortvalue_input("tokens", _view(np.ascontiguousarray(tokens.numpy())))
            self._step(tokens.shape[1])
            binding.bind_ortvalue_input("tokens", _view(self._tokens))
        return self._last_logits

    def follow(self, tokens: Int[Tensor, "batch time"], *, count: int) -> Iterator[list[int]]:
        """Read on, and then the likeliest token of each row, so many times: those tokens, one after another."""
        self.read(tokens)
        logits, column = self._logits[:, 0], self._tokens[:, 0]
        for number in range(count):
            if number:
                self._step(1)
            # On a CPU numpy finds it ten times as fast as torch.
            likeliest = logits.argmax(axis=1)
            yield likeliest.tolist()
            column[:] = likeliest

    def _step(self, time: int) -> None:
        """Read what is bound as tokens."""
        binding = self._bindings[0]
        self._bindings.reverse()
        self._past += time
        if self._counts is not None:
            used, total = self._counts
            used.fill(self._past - 1)
            total.fill(self._past)
        self._run(binding)


def _view(array: np.ndarray) -> "OrtValue":
    from onnxruntime import OrtValue

    # Of an array on the CPU this copies nothing.
    return OrtValue.ortvalue_from_numpy(array)


def open_session(model: bytes | Path) -> "InferenceSession":
    """A session on the CPU with as many threads as torch has.

    Raises: whatever onnxruntime raises of a file that it cannot load.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = ERRORS_ONLY
    content = os.fspath(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def load_onnx(folder: Path) -> OnnxLanguageModel:
    """The model of a folder that the exporter onnx wrote.

    Raises: InputError if a file is missing or cannot be loaded.
    """
    facts = read_json(folder / CONFIG_NAME)
    try:
        state = [StateTensor(one["before"], one["after"], tuple(one["shape"])) for one in facts["state"]]
        bound = facts["context_length"]
        session = open_session(folder / GRAPH_NAME)
    except (KeyError, TypeError):
        raise InputError(f"{folder / CONFIG_NAME} is not as the exporter onnx writes it: export again") from None
    except Exception as error:  # onnxruntime has an exception of its own for each kind of fault
        raise InputError(f"{folder / GRAPH_NAME} cannot be loaded: {str(error).splitlines()[0]}") from None
    return OnnxLanguageModel(session, state, context_length=bound)
