"""Beam search for any language model, batched over prompts and hypotheses.

A prompt is read once, in one row. When it ends, the row becomes up to `beams` rows, one for each live hypothesis:

    row 0   p p p p p p      longest prompts first;            row 0   p p p p p p w w
    row 1   p p p p w w      each step all rows read           row 1               w w
    row 2   p p p p w w      one token: of the prompt or       row 2   p p p p w w w w
            position ->      of a hypothesis                   row 3           w w w w

A prompt whose search has ended leaves the batch with all its rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from lmlab.decoding.reading import batches_by_length, check_prompts, conditioned
from lmlab.models.architectures.language_model import LanguageModel, State, select_rows


class Hypothesis(NamedTuple):
    """A finished answer: its tokens without the stop token, nats with it, and what it is ranked by."""

    tokens: list[int]
    log_likelihood: float
    score: float


class _Live(NamedTuple):
    tokens: list[int]
    log_likelihood: float
    row: int
    """Row of the batch that has read all but the last token."""


class _Continuation(NamedTuple):
    row: int
    token: int
    log_likelihood: float


class _Rules(NamedTuple):
    beams: int
    num_best: int
    max_new_tokens: int
    length_penalty: float
    stop_id: int

    def score(self, log_likelihood: float, *, length: int) -> float:
        return log_likelihood / ((5 + length) / 6) ** self.length_penalty


@dataclass
class _Search:
    """The search after one prompt."""

    prompt: Sequence[int]
    """What the model reads before the answer."""
    live: list[_Live]
    """Best first; while the prompt is read, the one hypothesis without tokens."""
    finished: list[Hypothesis]

    def advance(self, continuations: Sequence[_Continuation], rules: _Rules) -> None:
        """One more token; the continuations are the best first, at least the best 2 * beams."""
        parents = {hypothesis.row: hypothesis.tokens for hypothesis in self.live}
        length = len(self.live[0].tokens) + 1
        self.live = []
        for rank, (row, token, log_likelihood) in enumerate(continuations):
            stops = token == rules.stop_id
            if not stops and length < rules.max_new_tokens:
                if len(self.live) < rules.beams:
                    self.live.append(_Live([*parents[row], token], log_likelihood, row))
            elif rank < rules.beams:
                tokens = parents[row] if stops else [*parents[row], token]
                self.finished.append(Hypothesis(tokens, log_likelihood, rules.score(log_likelihood, length=length)))
        if self._is_decided(rules, length=length):
            self.live = []

    def _is_decided(self, rules: _Rules, *, length: int) -> bool:
        if not self.live:
            return False
        # No continuation scores more than the first: it adds nats below 0, and the longest answer divides by the most.
        return any(
            len(self.finished) >= count
            and rules.score(self.live[0].log_likelihood, length=final_length) <= self.best(count)[-1].score
            for count, final_length in ((rules.num_best, rules.max_new_tokens), (rules.beams, length))
        )

    def best(self, count: int) -> list[Hypothesis]:
        return sorted(self.finished, key=lambda hypothesis: -hypothesis.score)[:count]


@torch.inference_mode()
def beam_search(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    beams: int,
    num_best: int,
    max_new_tokens: int,
    length_penalty: float,
    stop_id: int,
    batch_rows: int,
) -> list[list[Hypothesis]]:
    """The `num_best` (at most `beams`) best hypotheses after each prompt, best first.

    From one live hypothesis without tokens, each step ranks all continuations of the live hypotheses by one token,
    by log likelihood. Those among the best `beams` that end in the stop token finish; of those that do not, the
    best `beams` are the next live ones. At max_new_tokens the best `beams` finish as they are, stopped or not. They are
    ranked by log likelihood / ((5 + length) / 6) ** length_penalty, where length counts the stop token; of equals the
    one that finished first. The search ends when `beams` have finished that score at least what the best live one
    would, could it stop for free (counting finished ones alone would end the search of a sure model with a handful of
    hopeless short answers), or where no live one can come among the `num_best` any more. One beam is greedy decoding.

    Rows of prompts and hypotheses that are read side by side are at most batch_rows (or `beams`, if that is more).
    An answer depends on its prompt alone, not on its neighbours.
    Raises: ValueError if a prompt is empty; InputError if prompt and answer are longer than the model can read.
    Source: Wu et al. 2016, section 7, equation 14, without the coverage penalty.
    """
    if not 1 <= num_best <= beams:
        raise ValueError(f"num_best must be from 1 to beams ({beams}), found {num_best}")
    check_prompts(model, prompts, new_tokens=max_new_tokens)
    rules = _Rules(beams, num_best, max_new_tokens, length_penalty, stop_id)
    found: list[list[Hypothesis]] = [[] for _ in prompts]
    for batch in batches_by_length(prompts, rows=batch_rows // beams):
        answering, starts = conditioned(model, [prompts[number] for number in batch], new_tokens=max_new_tokens)
        searches = [_Search(start, [_Live([], 0.0, row)], []) for row, start in enumerate(starts)]
        _run(answering, searches, rules)
        for number, search in zip(batch, searches, strict=True):
            found[number] = search.best(num_best)
    return found


def _run(model: LanguageModel, searches: Sequence[_Search], rules: _Rules) -> None:
    device = model.device
    position = min(len(search.prompt) for search in searches)
    read = torch.tensor([search.prompt[:position] for search in searches], device=device)
    logits, state = model.last_logits(read)
    while True:
        begun = [search for search in searches if len(search.prompt) <= position]
        for search, continuations in zip(begun, _best_continuations(logits, begun, rules), strict=True):
            search.advance(continuations, rules)
        searches = [search for search in searches if search.live]
        if not searches:
            return
        state = _give_each_a_row(state, searches, rows=len(logits), device=device)
        tokens = torch.tensor(_next_tokens(searches, position), device=device)
        logits, state = model.last_logits(tokens.unsqueeze(1), state)
        position += 1


def _best_continuations(
    logits: Float[Tensor, "rows vocabulary"], searches: Sequence[_Search], rules: _Rules
) -> list[list[_Continuation]]:
    # Of one row no more than the best beams + 1 tokens count: among them are `beams` that do not stop.
    per_row = min(rules.beams + 1, logits.shape[1])
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    likeliest, tokens = logits.topk(per_row)  # (rows, per_row)
    # Above 0 there is only rounding, which would break the bound.
    nats = (likeliest - logits.logsumexp(dim=-1, keepdim=True)).clamp(max=0).double()
    places, before = _side_by_side(searches, device=logits.device)  # (searches, width)
    after, order = (before.unsqueeze(-1) + nats[places]).flatten(1).sort(descending=True, stable=True)
    after, order = after[:, : 2 * rules.beams], order[:, : 2 * rules.beams]
    rows = places.gather(1, order // per_row)
    chosen = tokens[places].flatten(1).gather(1, order)
    return [
        [_Continuation(*one) for one in zip(*three, strict=True) if one[2] > -torch.inf]
        for three in zip(rows.tolist(), chosen.tolist(), after.tolist(), strict=True)
    ]


def _side_by_side(searches: Sequence[_Search], *, device: torch.device) -> tuple[Tensor, Tensor]:
    """Row and log likelihood of each live hypothesis, (searches, width); -inf where there are fewer."""
    width = max((len(search.live) for search in searches), default=0)
    places = [[one.row for one in search.live] + [0] * (width - len(search.live)) for search in searches]
    nats = [
        [one.log_likelihood for one in search.live] + [-torch.inf] * (width - len(search.live)) for search in searches
    ]
    shape = (len(searches), width)
    return (
        torch.tensor(places, dtype=torch.long, device=device).view(shape),
        torch.tensor(nats, dtype=torch.float64, device=device).view(shape),
    )


def _give_each_a_row(state: State, searches: Sequence[_Search], *, rows: int, device: torch.device) -> State:
    """The state with one row for each live hypothesis, in order; copied only where that changes anything."""
    parents = [hypothesis.row for search in searches for hypothesis in search.live]
    free = iter(range(len(parents)))
    for search in searches:
        search.live = [hypothesis._replace(row=next(free)) for hypothesis in search.live]
    if parents == list(range(rows)):
        return state
    return select_rows(state, torch.tensor(parents, device=device))


def _next_tokens(searches: Sequence[_Search], position: int) -> list[int]:
    return [
        hypothesis.tokens[-1] if hypothesis.tokens else search.prompt[position]
        for search in searches
        for hypothesis in search.live
    ]
