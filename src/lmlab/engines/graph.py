"""A model of ours as an ONNX graph: tokens and the state in, logits and the next state out.

    tokens (batch, time)   past...   ->   logits (batch, time, vocabulary)   present...

A first read takes a state of no time (Transformer, attention) or of zeros (cells). Batch and time are free.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lmlab.models.architectures.recurrent import RecurrentLanguageModel
from lmlab.models.architectures.transformer import NORM_EPSILON, TransformerLanguageModel

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto

    from lmlab.models.architectures.language_model import LanguageModel

# The first operator set with RMSNormalization, RotaryEmbedding and Attention.
OPSET, IR_VERSION = 23, 11
FUSED = "com.microsoft"
"""Operators that onnxruntime alone knows."""
FUSED_WIDTH = 16
"""Of which a head's width must be a multiple for them."""
NUM_WANTED = "num_wanted"
USED, TOTAL = "used", "total"
"""Inputs of a fused graph: the last position of each row that was read, counted from 0, and the total length."""

MOST_BYTES = 2**31 - 2**26
"""Of the weights of a graph: protobuf takes no message of 2 GiB, and tables of positions need a little of it."""

Attend = Callable[[str, int], str]
"""Adds the attention of a block: from what it reads, and the block's number, to what it found."""


class StateTensor(NamedTuple):
    """One tensor of the state: what it is called before and after, and its shape, with None where time stands."""

    before: str
    after: str
    shape: tuple[int | None, ...]
    """Without the batch."""


class Graph(NamedTuple):
    """A model and the tensors of its state, in the order of `State`."""

    model: "ModelProto"
    state: list[StateTensor]


def graph_of(model: "LanguageModel", *, fused: bool) -> Graph | None:
    """The model's graph; None for a kind of model that has none, and for one that is too large for one file.

    A fused graph is for onnxruntime alone: only the last `num_wanted` positions get logits, and where it has the input
    `used`, keys and values may be written in place, into tensors that are longer than what was read.
    """
    if graph_bytes(model) > MOST_BYTES:
        return None
    builder = _Builder(model, fused=fused)
    match model:
        case TransformerLanguageModel():
            return builder.finish(_transformer(builder, model))
        case RecurrentLanguageModel():
            return builder.finish(_recurrent(builder, model))
    return None


def graph_bytes(model: "LanguageModel") -> int:
    """Bytes of the weights in the model's graph at most: the output has a vocabulary's matrix of its own there."""
    return 4 * (model.num_parameters() + sum(weight.numel() for weight in model.embedding_parameters()))


class _Builder:
    """Collects nodes and weights."""

    def __init__(self, model: "LanguageModel", *, fused: bool) -> None:
        self.fused, self.in_place = fused, False
        self.weights = {name: tensor.detach().cpu().float().numpy() for name, tensor in model.state_dict().items()}
        self.state: list[StateTensor] = []
        self._vocabulary_size = model.vocabulary_size
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}

    def constant(self, name: str, value: "NDArray | np.generic | list[int]") -> str:
        """The name of a constant tensor; lists hold whole numbers."""
        from onnx import numpy_helper

        array = np.asarray(value, np.int64) if isinstance(value, list) else np.ascontiguousarray(value)
        self._constants.setdefault(name, numpy_helper.from_array(array, name))
        return name

    def weight(self, name: str) -> str:
        """The name of a weight as the model holds it."""
        return self.constant(name, self.weights[name])

    def node(self, kind: str, *inputs: str, to: str | tuple[str, ...] = "", domain: str = "", **how: Any) -> str:
        """Add an operator; the name of its first output, by default made up."""
        from onnx import helper

        outputs = [to] if isinstance(to, str) else list(to)
        outputs[0] = outputs[0] or f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **how))
        return outputs[0]

    def linear(self, inputs: str, *names: str) -> str:
        """Several bias-free layers as one product, side by side."""
        whole = np.concatenate([self.weights[name] for name in names]).T
        return self.node("MatMul", inputs, self.constant("+".join(names) + ".T", whole))

    def carry(self, before: str, after: str, *shape: int | None) -> StateTensor:
        """Add a tensor to the state."""
        self.state.append(StateTensor(before, after, shape))
        return self.state[-1]

    def wanted(self, features: str) -> str:
        """The positions that get logits: all, or in a fused graph the last ones."""
        if not self.fused:
            return features
        first = self.node("Neg", NUM_WANTED)
        end = self.constant("end", [np.iinfo(np.int64).max])
        return self.node("Slice", features, first, end, self.constant("time_axis", [1]))

    def finish(self, logits: str) -> Graph:
        """The whole graph."""
        from onnx import checker, helper

        self.node("Identity", logits, to="logits")
        outputs = [_tensor("logits", "batch", "wanted" if self.fused else "time", self._vocabulary_size)]
        outputs += [
            _tensor(one.after, "batch", *("total" if d is None else d for d in one.shape)) for one in self.state
        ]
        graph = helper.make_graph(
            self._nodes, "language_model", self._inputs(), outputs, list(self._constants.values())
        )
        opsets = [helper.make_opsetid("", OPSET)]
        if self.in_place:
            opsets.append(helper.make_opsetid(FUSED, 1))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="lmlab")
        checker.check_model(model)
        return Graph(model, self.state)

    def _inputs(self) -> "list[ValueInfoProto]":
        inputs = [_tensor("tokens", "batch", "time", whole=64)]
        if self.fused:
            inputs.append(_tensor(NUM_WANTED, 1, whole=64))
            if self.in_place:
                inputs += [_tensor(USED, "batch", whole=32), _tensor(TOTAL, 1, whole=32)]
        return inputs + [
            _tensor(one.before, "batch", *("past" if d is None else d for d in one.shape)) for one in self.state
        ]


def _tensor(name: str, *shape: str | int, whole: int = 0) -> "ValueInfoProto":
    from onnx import TensorProto, helper

    kind = {0: TensorProto.FLOAT, 32: TensorProto.INT32, 64: TensorProto.INT64}[whole]
    return helper.make_tensor_value_info(name, kind, shape)


def _transformer(build: _Builder, model: TransformerLanguageModel) -> str:
    """Logits of pre-norm blocks; the names of the state are those that other exporters use."""
    stream = build.node("Gather", build.weight("embedding.weight"), "tokens")
    build.in_place = build.fused and model.head_width % FUSED_WIDTH == 0
    attention = _fused_attention(build, model) if build.in_place else _attention(build, model)
    for index in range(len(model.blocks)):
        block = f"blocks.{index}."
        attended = attention(_norm(build, stream, f"{block}attention_norm.weight"), index)
        stream = build.node("Add", stream, build.linear(attended, f"{block}attention.output.weight"))
        normed = _norm(build, stream, f"{block}feed_forward_norm.weight")
        both = build.linear(normed, f"{block}feed_forward.gate.weight", f"{block}feed_forward.up.weight")
        gate, up = f"{block}gate", f"{block}up"
        build.node("Split", both, to=(gate, up), axis=-1, num_outputs=2)
        gated = build.node("Mul", build.node("Mul", gate, build.node("Sigmoid", gate)), up)
        stream = build.node("Add", stream, build.linear(gated, f"{block}feed_forward.down.weight"))
    features = _norm(build, build.wanted(stream), "norm.weight")
    return build.linear(features, "embedding.weight")


def _norm(build: _Builder, inputs: str, weight: str) -> str:
    return build.node("RMSNormalization", inputs, build.weight(weight), axis=-1, epsilon=NORM_EPSILON)


class _Heads(NamedTuple):
    """Queries, keys and values of a block, (batch, time, heads, head), the first two normed."""

    query: str
    keys: str
    values: str


def _heads(build: _Builder, model: TransformerLanguageModel, inputs: str, index: int) -> _Heads:
    part, heads, key_heads, width = f"blocks.{index}.attention.", model.heads, model.key_heads, model.head_width
    whole = build.linear(inputs, *(f"{part}{name}.weight" for name in ("query", "key", "value")))
    sizes = build.constant("head_sizes", [heads * width, key_heads * width, key_heads * width])
    query, keys, values = (f"{part}{name}" for name in ("query", "key", "value"))
    build.node("Split", whole, sizes, to=(query, keys, values), axis=-1)
    split, split_keys = (
        build.constant("split", [0, 0, heads, width]),
        build.constant("split_keys", [0, 0, key_heads, width]),
    )
    return _Heads(
        _norm(build, build.node("Reshape", query, split), f"{part}query_norm.weight"),
        _norm(build, build.node("Reshape", keys, split_keys), f"{part}key_norm.weight"),
        build.node("Reshape", values, split_keys),
    )


def _keys_and_values(build: _Builder, model: TransformerLanguageModel, index: int) -> tuple[StateTensor, StateTensor]:
    shape = (model.key_heads, None, model.head_width)
    keys, values = (
        build.carry(f"past_key_values.{index}.{name}", f"present.{index}.{name}", *shape) for name in ("key", "value")
    )
    return keys, values


def _half_table(model: TransformerLanguageModel) -> tuple["NDArray", "NDArray"]:
    """Cosines and sines (length, head / 2): both halves of a head turn alike."""
    half = model.cosine.shape[1] // 2
    return model.cosine[:, :half].cpu().numpy(), model.sine[:, :half].cpu().numpy()


def _attention(build: _Builder, model: TransformerLanguageModel) -> Attend:
    """Attention by ONNX's own operators: keys and values of all tokens so far are put together anew."""
    past = build.node("Shape", "past_key_values.0.key", start=2, end=3)
    time = build.node("Shape", "tokens", start=1, end=2)
    batch = build.node("Shape", "tokens", start=0, end=1)
    cosine, sine = _half_table(model)
    shape = build.node("Concat", batch, time, build.constant("half", [cosine.shape[1]]), axis=0)
    end, axis = build.node("Add", past, time), build.constant("table_axis", [0])
    tables = [
        build.node("Expand", build.node("Slice", build.constant(name, table), past, end, axis), shape)
        for name, table in (("cosine", cosine), ("sine", sine))
    ]  # (batch, time, head / 2)

    def attend(inputs: str, index: int) -> str:
        keys, values = _keys_and_values(build, model, index)
        found = _heads(build, model, inputs, index)
        turned = [build.node("Transpose", one, perm=[0, 2, 1, 3]) for one in found]  # (batch, heads, time, head)
        query, key = (build.node("RotaryEmbedding", one, *tables) for one in turned[:2])
        answer = build.node(
            "Attention",
            *(query, key, turned[2], "", keys.before, values.before),
            to=(f"found.{index}", keys.after, values.after),
            is_causal=1,
        )
        back = build.node("Transpose", answer, perm=[0, 2, 1, 3])
        return build.node("Reshape", back, build.constant("merge", [0, 0, -1]))

    return attend


def _fused_attention(build: _Builder, model: TransformerLanguageModel) -> Attend:
    """Attention by onnxruntime's operator, which writes into the cache where it is."""
    cosine, sine = _half_table(model)
    tables = [build.constant("cosine", cosine), build.constant("sine", sine)]

    def attend(inputs: str, index: int) -> str:
        keys, values = _keys_and_values(build, model, index)
        flat = [
            build.node("Reshape", one, build.constant("merge", [0, 0, -1]))
            for one in _heads(build, model, inputs, index)
        ]
        return build.node(
            "GroupQueryAttention",
            *(*flat, keys.before, values.before, USED, TOTAL, *tables),
            to=(f"found.{index}", keys.after, values.after),
            domain=FUSED,
            num_heads=model.heads,
            kv_num_heads=model.key_heads,
            do_rotary=1,
        )

    return attend


# Where torch keeps the gates of a cell, in ONNX's order: input, output, forget, candidate; update, reset, candidate.
_GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}


def _recurrent(build: _Builder, model: RecurrentLanguageModel) -> str:
    """Logits of ONNX's own LSTM or GRU."""
    kind = str(model.cell.mode)
    embedded = build.node("Gather", build.weight("embedding.weight"), "tokens")  # (batch, time, embedding)
    outputs = build.node("Transpose", embedded, perm=[1, 0, 2])  # (time, batch, embedding)
    shape = (model.cell.num_layers, model.cell.hidden_size)
    carried = [build.carry("past_hidden", "present_hidden", *shape)]
    if kind == "LSTM":
        carried.append(build.carry("past_cell", "present_cell", *shape))
    layers = range(model.cell.num_layers)
    for layer in layers:
        before = [_of_layer(build, one, layer) for one in carried]
        after = [f"{one.after}.{layer}" for one in carried]
        weights = _cell_weights(build, kind, layer)
        how: dict[str, Any] = {"linear_before_reset": 1} if kind == "GRU" else {}
        read = build.node(
            kind, outputs, *weights, "", *before, to=("", *after), hidden_size=model.cell.hidden_size, **how
        )  # (time, direction, batch, width)
        outputs = build.node("Squeeze", read, build.constant("direction_axis", [1]))
    for one in carried:
        build.node(
            "Transpose", _stacked(build, [f"{one.after}.{layer}" for layer in layers]), to=one.after, perm=[1, 0, 2]
        )
    outputs = build.node("Transpose", outputs, perm=[1, 0, 2])  # (batch, time, width)
    if model.past_attention is not None:
        outputs = _past_attention(build, model, outputs)
    features = build.linear(build.wanted(outputs), "to_embedding.weight")
    return build.node("Add", build.linear(features, "embedding.weight"), build.weight("output_bias"))


def _of_layer(build: _Builder, one: StateTensor, layer: int) -> str:
    """That layer's state as the cell wants it: (direction, batch, width)."""
    if one.shape[0] == 1:
        return build.node("Transpose", one.before, perm=[1, 0, 2])
    begin, end = build.constant(f"layer.{layer}", [layer]), build.constant(f"layer.{layer + 1}", [layer + 1])
    sliced = build.node("Slice", one.before, begin, end, build.constant("layer_axis", [1]))
    return build.node("Transpose", sliced, perm=[1, 0, 2])


def _stacked(build: _Builder, layers: list[str]) -> str:
    return layers[0] if len(layers) == 1 else build.node("Concat", *layers, axis=0)


def _cell_weights(build: _Builder, kind: str, layer: int) -> list[str]:
    """Weights of input and state, and both biases, with a direction before and the gates in ONNX's order."""

    def ordered(name: str) -> "NDArray":
        gates = np.split(build.weights[f"cell.{name}_l{layer}"], len(_GATES[kind]))
        return np.concatenate([gates[gate] for gate in _GATES[kind]])[None]

    bias = np.concatenate([ordered("bias_ih"), ordered("bias_hh")], axis=1)
    both = [build.constant(f"cell.{name}.{layer}", ordered(name)) for name in ("weight_ih", "weight_hh")]
    return [*both, build.constant(f"cell.bias.{layer}", bias)]


def _past_attention(build: _Builder, model: RecurrentLanguageModel, outputs: str) -> str:
    """Each output mixed with what it finds among the last ones, as `PastAttention` does it."""
    assert model.past_attention is not None
    span, width = model.past_attention.span, model.cell.hidden_size
    past = build.carry("past_outputs", "present_outputs", None, width)
    memory = build.node("Concat", past.before, outputs, axis=1)  # (batch, total, width)
    query = build.linear(outputs, "past_attention.query.weight")
    scores = build.node("MatMul", query, build.node("Transpose", memory, perm=[0, 2, 1]))
    scaled = build.node("Mul", scores, build.constant("scale", np.float32(width**-0.5)))
    weights = build.node("Softmax", build.node("Where", _visible(build, outputs, memory, span), scaled, _hidden(build)))
    both = build.node("Concat", outputs, build.node("MatMul", weights, memory), axis=2)
    end = build.constant("end", [np.iinfo(np.int64).max])
    # A first position before the beginning means the beginning; of a span of 1 nothing is kept.
    first = build.constant("kept", [1 - span if span > 1 else np.iinfo(np.int64).max])
    build.node("Slice", memory, first, end, build.constant("time_axis", [1]), to=past.after)
    return build.node("Tanh", build.linear(both, "past_attention.mix.weight"))


def _hidden(build: _Builder) -> str:
    return build.constant("hidden", np.float32(-np.inf))


def _visible(build: _Builder, outputs: str, memory: str, span: int) -> str:
    """Whether each output (rows) sees each remembered one (columns): (time, total)."""
    axis = build.constant("squeezed", [0])
    time, total = (
        build.node("Squeeze", build.node("Shape", tensor, start=1, end=2), axis) for tensor in (outputs, memory)
    )
    zero, one = build.constant("zero", np.int64(0)), build.constant("one", np.int64(1))
    keys = build.node("Range", zero, total, one)
    queries = build.node("Range", build.node("Sub", total, time), total, one)
    column = build.node("Unsqueeze", queries, build.constant("column", [1]))
    early = build.node("LessOrEqual", keys, column)
    near = build.node("Greater", keys, build.node("Sub", column, build.constant("span", np.int64(span))))
    return build.node("And", early, near)
