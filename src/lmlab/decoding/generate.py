"""Continue prompts with any language model."""

from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lmlab.decoding.sampling import Sampling, draw
from lmlab.models.architectures.language_model import LanguageModel
from lmlab.text import digest_of


def generate(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    sampling: Sampling,
    stop_ids: frozenset[int],
    seed: int,
) -> list[list[int]]:
    """The new tokens after each prompt, up to and without the first stop token.

    An answer depends on its prompt and the seed alone, not on its neighbours; a prompt given several times is
    answered anew each time.
    Raises: ValueError if a prompt is empty.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    steps = write(model, prompts, max_new_tokens=max_new_tokens, sampling=sampling, stop_ids=stop_ids, seed=seed)
    for step in steps:
        for row, token in step.items():
            answers[row].append(token)
    return answers


def write(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    sampling: Sampling,
    stop_ids: frozenset[int],
    seed: int,
) -> Iterator[dict[int, int]]:
    """What `generate` gives, step by step: the token that each row writes next; stop tokens are left out.

    Rows of different length walk in step, the longer ones still reading while the shorter ones already write:

        row 0   p p p p p w w w
        row 1   p p p w w w . .
    """
    if any(len(prompt) == 0 for prompt in prompts):
        raise ValueError("a prompt is empty: begin it with the separator")
    if not prompts:
        return
    # What is drawn hangs on the prompts themselves, whatever the model reads of them.
    random = _generators(prompts, seed=seed) if sampling.temperature else []
    model, starts = model.conditioned(prompts)
    lengths = [len(start) for start in starts]
    position, longest = min(lengths), max(lengths)
    tokens = _side_by_side(starts, length=longest + max_new_tokens, device=model.device)
    reader = _Reader(model, tokens)
    unread = tokens[:, :position]
    writing = [row for row, length in enumerate(lengths) if length == position]
    while writing or position < longest:
        if not random and position >= longest and not reader.may_begin_anew:
            # Nothing is drawn and nothing read twice: the reader goes on by itself.
            yield from _follow(
                reader.follow(unread, count=max_new_tokens), writing, lengths, position, max_new_tokens, stop_ids
            )
            return
        logits = reader.read(unread)
        drawn = draw(logits, sampling, _uniform(random, writing, device=model.device) if random else None)
        unread = drawn.unsqueeze(1)
        if position < longest:
            tokens[writing, position] = drawn[writing]
            unread = tokens[:, position : position + 1]
        elif reader.may_begin_anew:
            tokens[:, position] = drawn
        chosen = drawn.tolist()
        step = {row: chosen[row] for row in writing if chosen[row] not in stop_ids}
        position += 1
        yield step
        writing = [row for row in step if position < lengths[row] + max_new_tokens]
        if position <= longest:
            writing += [row for row, length in enumerate(lengths) if length == position]


def _follow(
    steps: Iterator[list[int]],
    writing: list[int],
    lengths: Sequence[int],
    position: int,
    max_new_tokens: int,
    stop_ids: frozenset[int],
) -> Iterator[dict[int, int]]:
    """The steps of rows that all write, until each has ended."""
    for chosen in steps:
        step = {row: chosen[row] for row in writing if chosen[row] not in stop_ids}
        position += 1
        yield step
        writing = [row for row in step if position < lengths[row] + max_new_tokens]
        if not writing:
            return


class _Reader:
    """Reads a growing text, each token once while it fits the model's context."""

    def __init__(self, model: LanguageModel, tokens: Int[Tensor, "batch time"]) -> None:
        """`tokens` are filled in before they are read, for a second time where the context is full."""
        bound, (rows, length) = model.context_length, tokens.shape
        self._tokens = tokens
        self._length = length if bound is None else min(length, bound)
        self.may_begin_anew = self._length < length
        self._new_reader = lambda: model.reader(rows=rows, length=self._length)
        self._inner = self._new_reader()
        self._start = self._end = 0

    def follow(self, unread: Int[Tensor, "batch time"], *, count: int) -> Iterator[list[int]]:
        """The likeliest tokens after these, one step after another; for a text that the context holds whole."""
        return self._inner.follow(unread, count=count)

    def read(self, unread: Int[Tensor, "batch time"]) -> Float[Tensor, "batch vocabulary"]:
        """Logits of the token after these, which go on where the last ones ended."""
        self._end += unread.shape[1]
        if self._end - self._start > self._length:
            # The context is full: begin anew where it would if the tokens came one by one, each time with its last
            # half, so that nothing depends on how many come at once.
            stride = self._length + 1 - max(1, self._length // 2)
            self._start += stride * -(-(self._end - self._start - self._length) // stride)
            self._inner = self._new_reader()
            unread = self._tokens[:, self._start : self._end]
        return self._inner.read(unread)


def _side_by_side(prompts: Sequence[Sequence[int]], *, length: int, device: torch.device) -> Tensor:
    tokens = torch.zeros(len(prompts), length, dtype=torch.long, device=device)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = torch.tensor(prompt, device=device)
    return tokens


def _generators(prompts: Sequence[Sequence[int]], *, seed: int) -> list[torch.Generator]:
    seen: Counter[tuple[int, ...]] = Counter()
    generators = []
    for prompt in map(tuple, prompts):
        key = digest_of([seed, prompt, seen[prompt]])
        generators.append(torch.Generator().manual_seed(int(key[:15], 16)))
        seen[prompt] += 1
    return generators


def _uniform(random: list[torch.Generator], writing: list[int], *, device: torch.device) -> Tensor:
    # Only rows that write draw a number, so that an answer does not depend on how long its neighbours read.
    drawn = torch.zeros(len(random), dtype=torch.float64)
    for row in writing:
        drawn[row] = torch.rand((), generator=random[row], dtype=torch.float64)
    return drawn.to(device)
