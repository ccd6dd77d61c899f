"""Ranking of choices, against scoring each alone, and how often tokens are read."""

import pytest
import torch
from torch import Tensor

from lmlab.decoding.ranking import rank_choices
from lmlab.errors import InputError
from lmlab.models.architectures.language_model import LanguageModel, State
from tests.decoding.tiny_models import KINDS, tiny_model

STOP = 0
PROMPTS = [[3, 1, 4], [1], [5, 9, 2, 6, 5, 3], [8, 9, 7], [7, 9, 3]]
CHOICES = [[1, 2], [1, 2, 3, 4], [5], [1, 2, 3, 6], [7, 8, 9], [1], [7, 8, 2], [5], [], [4, 4, 4, 4, 4]]


@torch.no_grad()
def naive(model: LanguageModel, prompt: list[int], choice: list[int]) -> float:
    nats = 0.0
    for place, token in enumerate([*choice, STOP]):
        logits, _ = model(torch.tensor([prompt + choice[:place]]))
        nats += float(logits[0, -1].log_softmax(-1)[token])
    return nats


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_rows", [1, 3, 64])
def test_each_choice_gets_what_it_gets_alone(kind: str, batch_rows: int) -> None:
    model = tiny_model(kind, seed=2)
    found = rank_choices(model, PROMPTS, CHOICES, stop_id=STOP, batch_rows=batch_rows)
    expected = torch.tensor(
        [[naive(model, prompt, choice) for choice in CHOICES] for prompt in PROMPTS], dtype=torch.float64
    )
    # float64: what is left is the order of summation.
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_the_likelihoods_of_all_answers_sum_to_one() -> None:
    # All answers of at most two tokens over three, but those that do not stop there: 1 + 2 + 4 of them.
    class Even(LanguageModel):
        context_length = None
        vocabulary_size = 3

        def __init__(self) -> None:
            super().__init__()
            self.nats = torch.nn.Parameter(torch.tensor([0.5, 0.3, 0.2]).double().log())

        def read(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
            del state
            return self.nats.expand(*tokens.shape, 3), (tokens[:, -1:],)

        def logits(self, features: Tensor) -> Tensor:
            return features

    choices = [[], [1], [2], [1, 1], [1, 2], [2, 1], [2, 2]]
    found = rank_choices(Even(), [[0]], choices, stop_id=0, batch_rows=4)
    # 0.5, then 0.3 and 0.2 times 0.5, then the same again.
    assert found.exp().tolist()[0] == pytest.approx([0.5, 0.15, 0.1, 0.045, 0.03, 0.03, 0.02])


def _shapes_read(model: LanguageModel, prompts: list[list[int]], choices: list[list[int]], *, rows: int) -> list:
    shapes: list[tuple[int, ...]] = []
    read = model.read

    def noted(tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        shapes.append(tuple(tokens.shape))
        return read(tokens, state)

    model.read = noted
    rank_choices(model, prompts, choices, stop_id=STOP, batch_rows=rows)
    return shapes


@pytest.mark.parametrize("kind", KINDS)
def test_common_beginnings_are_read_once(kind: str) -> None:
    model = tiny_model(kind, seed=0)
    # The prompt; 5 and the shared 1 2 side by side with nothing else of their length; then 3 and 4 below 1 2.
    assert _shapes_read(model, [[9, 9, 9]], [[1, 2, 3], [1, 2, 4], [5]], rows=8) == [(1, 3), (1, 1), (1, 2), (2, 1)]


def test_rows_read_side_by_side_are_bounded() -> None:
    model = tiny_model("transformer", seed=0)
    choices = [[first, second] for first in range(1, 9) for second in range(1, 9)]
    for rows in (1, 5, 16):
        assert max(shape[0] for shape in _shapes_read(model, PROMPTS, choices, rows=rows)) <= rows


def test_prompts_and_choices_longer_than_the_model_reads_are_refused() -> None:
    model = tiny_model("transformer", seed=0)
    rank_choices(model, [[1] * 28], [[2, 3, 4, 5]], stop_id=STOP, batch_rows=4)
    with pytest.raises(InputError, match=r"task\.cutting\.max_prompt_tokens"):
        rank_choices(model, [[1] * 29], [[2, 3, 4, 5]], stop_id=STOP, batch_rows=4)


def test_no_prompts_and_no_choices_give_empty_tables() -> None:
    model = tiny_model("gru", seed=0)
    assert rank_choices(model, [], [[1]], stop_id=STOP, batch_rows=4).shape == (0, 1)
    assert rank_choices(model, [[1]], [], stop_id=STOP, batch_rows=4).shape == (1, 0)
