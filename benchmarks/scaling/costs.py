"""Formulas of a Transformer's training, in bytes and floating-point operations.

Letters, as docs/scaling.md has them: d width, L layers, h heads times head width, k key heads times head width, f
feed-forward width, V vocabulary, T sequence length, N parameters, P processes.
"""

from collections.abc import Iterator
from typing import NamedTuple

FLOAT32, BFLOAT16, INT64 = 4, 2, 8
NEWTON_SCHULZ_STEPS = 5
LONG = 1.5
"""From this ratio of its sides on lmlab.training.optimizers orthogonalizes a matrix by its products with itself."""
SHORT_ROW = 128
"""Up to this length lmlab.models.architectures.transformer attends to whole rows at once, where a CPU trains it."""
INDEX_BYTES_PER_RECORD = 8 + 4 + 8 + 8
"""The token store's offset, length of the prompt, bytes of the target, number of the document."""
COMPARED_BYTES_PER_RECORD = 8 + 8 + 4 + 4 + 1 + 1
"""Memory of comparing records: a band's keys, once more shifted, their order, their rows, two flags."""
SIGNATURE_BYTES_PER_RECORD = 8 + 8 + 4 * 128
"""On disk meanwhile: the key of all content, what must agree, 128 permutations."""
WORD_BYTES = 1000
"""Memory of training byte-pair encoding, a distinct word; as measured."""
WINDOW_BYTES = 8
"""The place of a window in a pass's order."""


class Shape(NamedTuple):
    """A Transformer as conf/model/transformer.yaml describes it, with its vocabulary."""

    name: str
    width: int
    layers: int
    heads: int
    key_heads: int
    feed_forward_width: int
    vocabulary_size: int

    @property
    def head_width(self) -> int:
        """Numbers of a head."""
        return self.width // self.heads

    @property
    def key_width(self) -> int:
        """Numbers of all key heads together: k."""
        return self.key_heads * self.head_width

    @property
    def matrices(self) -> int:
        """Parameters of the layers' matrices: L (2 d h + 2 d k + 3 d f)."""
        return sum(rows * columns for rows, columns in self.matrix_shapes())

    @property
    def embedding(self) -> int:
        """Parameters of the vocabulary's matrix, which the output shares: V d."""
        return self.vocabulary_size * self.width

    @property
    def vectors(self) -> int:
        """Parameters of the norms: L (2 d + 2 head widths) + d."""
        return self.layers * 2 * (self.width + self.head_width) + self.width

    @property
    def parameters(self) -> int:
        """All of them: N."""
        return self.matrices + self.embedding + self.vectors

    def matrix_shapes(self) -> Iterator[tuple[int, int]]:
        """Rows and columns of each layer's matrices."""
        d, f, k = self.width, self.feed_forward_width, self.key_width
        for _ in range(self.layers):
            yield from [(d, d), (d, d), (k, d), (k, d), (f, d), (f, d), (d, f)]


def optimizer_bytes(shape: Shape, optimizer: str) -> int:
    """States: AdamW two numbers a parameter; Muon one a number of a matrix, and AdamW's two of all others."""
    if optimizer == "adamw":
        return 2 * FLOAT32 * shape.parameters
    return FLOAT32 * shape.matrices + 2 * FLOAT32 * (shape.embedding + shape.vectors)


def static_bytes(shape: Shape, optimizer: str) -> int:
    """Weights, gradients and states, which do not hang on the batch."""
    return 2 * FLOAT32 * shape.parameters + optimizer_bytes(shape, optimizer)


def copied_bytes(shape: Shape) -> int:
    """What training.precision=bf16-mixed holds beside: each weight in bfloat16, while a step computes."""
    return BFLOAT16 * shape.parameters


def saved_bytes(shape: Shape, length: int) -> int:
    """What the forward pass keeps of each token for the backward pass, in float32 on a CPU.

    A layer: four streams (d) of its norms, three of queries (h) and three of keys (k), with the attention's output
    and the values, four of the feed-forward layer (f); one number for each norm and head; of attention one more for
    each head, or in short rows its whole weights.
    """
    d, h, k, f = shape.width, shape.width, shape.key_width, shape.feed_forward_width
    of_attention = shape.heads * (length if length <= SHORT_ROW else 1)
    of_layer = 4 * d + 3 * h + 3 * k + 4 * f + 2 + shape.heads + shape.key_heads + of_attention
    return FLOAT32 * (shape.layers * of_layer + 2 * d + 1 + shape.vocabulary_size) + 2 * INT64


def saved_bytes_mixed(shape: Shape) -> int:
    """The same with training.precision=bf16-mixed on a GPU, whose norms keep their input alone.

    All is in bfloat16 but for one number of each norm and head, and the logits.
    """
    d, h, k, f = shape.width, shape.width, shape.key_width, shape.feed_forward_width
    of_layer = BFLOAT16 * (4 * d + 3 * h + 3 * k + 4 * f) + FLOAT32 * (2 + 2 * shape.heads + shape.key_heads)
    of_output = BFLOAT16 * 2 * d + FLOAT32 * (1 + shape.vocabulary_size)
    return shape.layers * of_layer + of_output + 2 * INT64


def saved_bytes_mixed_on_cpu(shape: Shape) -> int:
    """On a CPU: two tensors in float32 in place of a norm's input, and a copy of what attention found."""
    d, h, k = shape.width, shape.width, shape.key_width
    of_norm = 2 * FLOAT32 - BFLOAT16
    return saved_bytes_mixed(shape) + shape.layers * (of_norm * (2 * d + h + k) + BFLOAT16 * h) + of_norm * d


def passing_bytes(shape: Shape) -> int:
    """What the loss takes of each token for a moment: two gradients as large as the logits."""
    return 2 * FLOAT32 * shape.vocabulary_size


def operations_per_token(shape: Shape, length: int) -> int:
    """6 N, and attention's own 6 L h T: each token looks back at half of a row on average."""
    return 6 * shape.parameters + attention_operations(shape, length)


def attention_operations(shape: Shape, length: int) -> int:
    """Of attention's own products alone, a token."""
    return 6 * shape.layers * shape.width * length


def muon_operations(shape: Shape, *, on_gpu: bool) -> int:
    """Of one optimizer step: each matrix is made nearly orthogonal, whatever the batch."""
    return sum(_orthogonalization(*sorted(sides), on_gpu=on_gpu) for sides in shape.matrix_shapes())


def _orthogonalization(short: int, long: int, *, on_gpu: bool) -> int:
    rectangular, square = 2 * short * short * long, 2 * short**3
    if long > LONG * short and not on_gpu:
        # Twice the long side, and all steps on products of the short one, which bfloat16 is too coarse for.
        return 2 * rectangular + square * (1 + 4 * (NEWTON_SCHULZ_STEPS - 1))
    return NEWTON_SCHULZ_STEPS * (2 * rectangular + square)


def ddp_bytes(shape: Shape, processes: int) -> float:
    """What each process sends for each part of a step: a ring's sum of all gradients, 2 (P - 1) / P times 4 N."""
    return 2 * (processes - 1) / processes * FLOAT32 * shape.parameters


def fsdp_bytes(shape: Shape, processes: int) -> float:
    """What each process sends for each part of a step: 3 (P - 1) / P times 4 N.

    All weights are gathered to go forward and once more to go back, and all gradients are summed to shares.
    """
    return 3 * (processes - 1) / processes * FLOAT32 * shape.parameters


def muon_bytes(shape: Shape, processes: int) -> float:
    """What each process of FSDP sends beside, once a step: each matrix is gathered to be orthogonalized."""
    return (processes - 1) / processes * FLOAT32 * shape.matrices


def fsdp_static_bytes(shape: Shape, optimizer: str, processes: int) -> float:
    """Of each process: its share of everything, the embedding, and two layers put together with their gradients."""
    whole = shape.embedding + 2 * shape.matrices / shape.layers
    return static_bytes(shape, optimizer) / processes + 2 * FLOAT32 * whole


def checkpoint_bytes(shape: Shape, optimizer: str) -> int:
    """Of resume.pt: weights and states."""
    return FLOAT32 * shape.parameters + optimizer_bytes(shape, optimizer)


def token_bytes(vocabulary_size: int) -> int:
    """Of a token on disk."""
    return 2 if vocabulary_size <= 2**16 else 4
