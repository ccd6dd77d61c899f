"""Log likelihoods of given answers: each prompt is read once, and answers share what they begin with.

    choices   ab   abc   d             prompt -+- ab -+- <stop>
                                               |      +- c -- <stop>
                                               +- d -- <stop>

Tokens that stand between two forks are read in one pass; what a fork's next token costs is read off the logits that
are there already.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from lmlab.decoding.reading import batches_by_length, check_prompts, conditioned
from lmlab.errors import InputError
from lmlab.models.architectures.language_model import LanguageModel, State, select_rows

# Each is a call inside a call.
MOST_FORKS = 60


class _Node(NamedTuple):
    """A fork or an end: the tokens read since the fork before, the choices that end here, what goes on."""

    tokens: tuple[int, ...]
    choices: list[int]
    children: list["_Node"]


@torch.inference_mode()
def rank_choices(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    choices: Sequence[Sequence[int]],
    *,
    stop_id: int,
    batch_rows: int,
) -> Float[Tensor, "prompts choices"]:
    """Log likelihood in nats of each choice and the stop token that closes it, after each prompt; in float64.

    At most batch_rows rows are read side by side. A value depends on its prompt and its choice alone.
    Raises: ValueError if a prompt is empty; InputError if prompt and choice are longer than the model can read.
    """
    new_tokens = max(map(len, choices), default=0) + 1
    check_prompts(model, prompts, new_tokens=new_tokens)
    device = model.device
    root = _tree(choices)
    found = torch.zeros(len(prompts), len(choices), dtype=torch.float64, device=device)
    for batch in batches_by_length(prompts, rows=batch_rows):
        for _, numbers in groupby(batch, key=lambda number: len(prompts[number])):
            rows = list(numbers)
            answering, starts = conditioned(model, [prompts[row] for row in rows], new_tokens=new_tokens)
            logits, state = answering.last_logits(torch.tensor(starts, device=device))
            together = max(1, batch_rows // max(1, len(root.children)))
            for begin in range(0, len(rows), together):
                part = slice(begin, begin + together)
                nats = torch.zeros(len(choices), len(rows[part]), dtype=torch.float64, device=device)
                walk = _Walk(answering, stop_id, batch_rows, nats)
                walk.go_on(
                    [root], logits[part].unsqueeze(1), nats.new_zeros(len(rows[part]), 1), select_rows(state, part)
                )
                found[rows[part]] = nats.T
    return found


def _tree(choices: Sequence[Sequence[int]]) -> _Node:
    return _fork([(number, tuple(choice)) for number, choice in enumerate(choices)], shared=0)


def _fork(rests: list[tuple[int, tuple[int, ...]]], *, shared: int, forks: int = 0) -> _Node:
    """The node of these choices, by number, whose rests have their first `shared` tokens in common."""
    if forks > MOST_FORKS:
        raise InputError(f"the labels begin with one another more than {MOST_FORKS} deep: shorten them")
    by_next: dict[int, list[tuple[int, tuple[int, ...]]]] = {}
    for number, rest in rests:
        if len(rest) > shared:
            by_next.setdefault(rest[shared], []).append((number, rest[shared:]))
    children = [
        _fork(group, shared=len(os.path.commonprefix([rest for _, rest in group])), forks=forks + 1)
        for group in by_next.values()
    ]
    ended = [number for number, rest in rests if len(rest) == shared]
    return _Node(rests[0][1][:shared] if rests else (), ended, children)


class _Walk(NamedTuple):
    """From the root to all ends, depth first, for several prompts at once."""

    model: LanguageModel
    stop_id: int
    batch_rows: int
    nats: Float[Tensor, "choices prompts"]
    """What is found."""

    def go_on(
        self,
        nodes: Sequence[_Node],
        logits: Float[Tensor, "prompts nodes vocabulary"],
        before: Float[Tensor, "prompts nodes"],
        state: State,
    ) -> None:
        """From nodes that have been read: their last logits, nats up to here, and their state prompt by prompt."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        total = logits.logsumexp(dim=-1)  # (prompts, nodes)
        stopped = before + (logits[..., self.stop_id] - total)
        for place, node in enumerate(nodes):
            self.nats[node.choices] = stopped[:, place]
        for parents, children in self._chunks(nodes, num_prompts=len(logits)):
            first = [child.tokens[0] for child in children]
            begun = before[:, parents] + (logits[:, parents, first] - total[:, parents])  # (prompts, children)
            self._read(children, begun, _below(state, parents, num_prompts=len(logits)))

    def _chunks(self, nodes: Sequence[_Node], *, num_prompts: int) -> Iterator[tuple[list[int], list[_Node]]]:
        """Children with the place of their parents; as many tokens each, and few enough to read at once."""
        edges = [(place, child) for place, node in enumerate(nodes) for child in node.children]
        edges.sort(key=lambda edge: len(edge[1].tokens))
        room = max(1, self.batch_rows // num_prompts)
        for _, group in groupby(edges, key=lambda edge: len(edge[1].tokens)):
            alike = list(group)
            for begin in range(0, len(alike), room):
                parents, children = zip(*alike[begin : begin + room], strict=True)
                yield list(parents), list(children)

    def _read(self, children: Sequence[_Node], begun: Float[Tensor, "prompts children"], state: State) -> None:
        num_prompts = len(begun)
        tokens = torch.tensor([child.tokens for child in children], device=begun.device)  # (children, time)
        logits, after = self.model(tokens.repeat(num_prompts, 1), state)
        logits = logits.unflatten(0, (num_prompts, -1))  # (prompts, children, time, vocabulary)
        inner = logits[:, :, :-1].to(torch.promote_types(logits.dtype, torch.float32))
        wanted = tokens[:, 1:].expand(num_prompts, -1, -1).unsqueeze(-1)
        nats = inner.gather(-1, wanted).squeeze(-1) - inner.logsumexp(dim=-1)  # (prompts, children, time - 1)
        self.go_on(children, logits[:, :, -1], begun + nats.double().sum(dim=-1), after)


def _below(state: State, parents: Sequence[int], *, num_prompts: int) -> State:
    """The state of each child's parent, prompt by prompt; of one prompt and one parent it is not copied."""
    if len(state[0]) == num_prompts:
        return tuple(tensor.unsqueeze(1).expand(-1, len(parents), *tensor.shape[1:]).flatten(0, 1) for tensor in state)
    return tuple(tensor.unflatten(0, (num_prompts, -1))[:, parents].flatten(0, 1) for tensor in state)
