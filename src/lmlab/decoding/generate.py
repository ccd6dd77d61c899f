"""Continue prompts with any language model."""

from collections import Counter
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lmlab.decoding.sampling import Sampling, draw
from lmlab.models.architectures.language_model import LanguageModel, State
from lmlab.text import digest_of


@torch.inference_mode()
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

    Rows of different length walk in step, the longer ones still reading while the shorter ones already write:

        row 0   p p p p p w w w
        row 1   p p p w w w . .

    An answer depends on its prompt and the seed alone, not on its neighbours; a prompt given several times is
    answered anew each time.
    Raises: ValueError if a prompt is empty.
    """
    if any(len(prompt) == 0 for prompt in prompts):
        raise ValueError("a prompt is empty: begin it with the separator")
    if not prompts:
        return []
    device = next(model.parameters()).device
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    tokens = _side_by_side(prompts, length=int(lengths.max()) + max_new_tokens, device=device)
    random = _generators(prompts, seed=seed)
    stops = torch.tensor(sorted(stop_ids), device=device)
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    reader, position = _Reader(model), 0
    for position in range(int(lengths.min()), tokens.shape[1]):
        logits = reader.read(tokens[:, :position])
        writing = (lengths <= position) & (position < lengths + max_new_tokens) & ~ended
        uniform = _uniform(random, writing)
        tokens[:, position] = torch.where(writing, draw(logits, sampling, uniform), tokens[:, position])
        ended |= writing & torch.isin(tokens[:, position], stops)
        if bool((ended | (position + 1 >= lengths + max_new_tokens)).all()):
            break
    return [
        _until_stop(row[len(prompt) : len(prompt) + max_new_tokens], stop_ids, length=position + 1 - len(prompt))
        for row, prompt in zip(tokens.tolist(), prompts, strict=True)
    ]


class _Reader:
    """Reads a growing text, each token once while it fits the model's context."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._state: State | None = None
        self._start = self._end = 0

    def read(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch vocabulary"]:
        """Logits of the token after the last; `tokens` holds what was read before and more."""
        bound = self._model.context_length
        end = tokens.shape[1]
        if bound is not None and end - self._start > bound:
            # The context is full: begin anew with its last half.
            self._state, self._start = None, end - max(1, bound // 2)
            self._end = self._start
        features, self._state = self._model.read(tokens[:, self._end : end], self._state)
        self._end = end
        return self._model.logits(features[:, -1])


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


def _uniform(random: list[torch.Generator], writing: Tensor) -> Tensor:
    # Only rows that write draw a number, so that an answer does not depend on how long its neighbours read.
    drawn = [
        float(torch.rand((), generator=generator, dtype=torch.float64)) if writes else 0.0
        for generator, writes in zip(random, writing.tolist(), strict=True)
    ]
    return torch.tensor(drawn, dtype=torch.float64, device=writing.device)


def _until_stop(written: list[int], stop_ids: frozenset[int], *, length: int) -> list[int]:
    answer = written[: max(0, length)]
    stop = next((index for index, token in enumerate(answer) if token in stop_ids), len(answer))
    return answer[:stop]
