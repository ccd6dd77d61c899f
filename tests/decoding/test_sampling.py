"""Sampling and generation, against values worked out by hand."""

import pytest
import torch
from torch import Tensor

from lmlab.decoding.generate import generate
from lmlab.decoding.sampling import Sampling, draw, keep_top_k, keep_top_p
from lmlab.models.architectures.language_model import LanguageModel, State
from tests.decoding.tiny_models import KINDS, tiny_model

GREEDY = Sampling(temperature=0, top_k=0, top_p=1)
PLAIN = Sampling(temperature=1, top_k=0, top_p=1)
FALLING = torch.tensor([[0.5, 0.25, 0.125, 0.125]])


def test_top_k_keeps_the_k_likeliest() -> None:
    assert keep_top_k(FALLING, 2).tolist() == [pytest.approx([0.5, 0.25, 0, 0])]
    assert keep_top_k(FALLING, 0).tolist() == FALLING.tolist()


@pytest.mark.parametrize(("p", "kept"), [(0.4, 1), (0.5, 1), (0.6, 2), (0.75, 2), (0.76, 3), (1.0, 4)])
def test_top_p_keeps_the_fewest_that_reach_the_share(p: float, kept: int) -> None:
    assert int((keep_top_p(FALLING.double(), p) > 0).sum()) == kept


def test_temperature_zero_takes_the_likeliest() -> None:
    assert draw(torch.tensor([[1.0, 3.0, 2.0]]), GREEDY, torch.tensor([0.99])).tolist() == [1]


@pytest.mark.parametrize(("uniform", "token"), [(0.0, 2), (0.49, 2), (0.51, 0), (0.79, 0), (0.81, 1), (0.999999, 1)])
def test_a_uniform_number_picks_by_cumulative_probability(uniform: float, token: int) -> None:
    logits = torch.tensor([[0.3, 0.2, 0.5]]).log()
    assert draw(logits, PLAIN, torch.tensor([uniform])).tolist() == [token]


def test_drawn_tokens_follow_their_probabilities() -> None:
    probabilities = torch.tensor([0.6, 0.3, 0.1])
    uniform = torch.rand(20000, generator=torch.Generator().manual_seed(0))
    drawn = draw(probabilities.log().expand(20000, 3), PLAIN, uniform)
    shares = torch.bincount(drawn, minlength=3) / 20000
    # Three standard deviations of a share of 20,000 draws are about 0.01.
    torch.testing.assert_close(shares, probabilities, atol=0.011, rtol=0)


class CountingModel(LanguageModel):
    """Says the next number; its state is how much it has read."""

    context_length = None
    vocabulary_size = 100

    def __init__(self, context_length: int | None = None) -> None:
        super().__init__()
        self.context_length = context_length
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.longest = 0

    def read(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        read = (0 if state is None else int(state[0][0])) + tokens.shape[1]
        self.longest = max(self.longest, read)
        logits = torch.nn.functional.one_hot((tokens + 1) % 100, 100).float() * 10
        return logits, (torch.full((len(tokens), 1), read),)

    def logits(self, features: Tensor) -> Tensor:
        return features


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_longer_than_the_context_is_answered_alike_beside_any_other(kind: str) -> None:
    model = tiny_model(kind, seed=1)
    long, short = [1 + number % 20 for number in range(61)], [3, 4, 5]

    def answer(*prompts: list[int]) -> list[int]:
        return generate(model, prompts, max_new_tokens=40, sampling=GREEDY, stop_ids=frozenset(), seed=0)[0]

    assert answer(long, short) == answer(long) == answer(long, long[:40], short)


def test_generate_ends_before_the_first_stop_token() -> None:
    prompts = [[5], [2, 3]]
    answers = generate(CountingModel(), prompts, max_new_tokens=10, sampling=GREEDY, stop_ids=frozenset({9}), seed=0)
    assert answers == [[6, 7, 8], [4, 5, 6, 7, 8]]


def test_generate_ends_after_max_new_tokens() -> None:
    answers = generate(
        CountingModel(), [[5], [1, 2, 3]], max_new_tokens=2, sampling=GREEDY, stop_ids=frozenset(), seed=0
    )
    assert answers == [[6, 7], [4, 5]]


def test_generate_never_reads_more_than_the_models_context() -> None:
    model = CountingModel(context_length=8)
    [answer] = generate(model, [[1, 2, 3]], max_new_tokens=30, sampling=GREEDY, stop_ids=frozenset(), seed=0)
    assert answer == list(range(4, 34))
    assert model.longest == 8


def test_generate_cuts_a_prompt_longer_than_the_context_to_its_end() -> None:
    model = CountingModel(context_length=8)
    [answer] = generate(model, [list(range(20))], max_new_tokens=3, sampling=GREEDY, stop_ids=frozenset(), seed=0)
    assert answer == [20, 21, 22]


def test_the_same_seed_gives_the_same_text_and_another_seed_another() -> None:
    class Even(CountingModel):
        def read(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
            logits, state = super().read(tokens, state)
            return torch.zeros_like(logits), state

    def answer(seed: int) -> list[list[int]]:
        return generate(Even(), [[1], [1]], max_new_tokens=20, sampling=PLAIN, stop_ids=frozenset(), seed=seed)

    assert answer(1) == answer(1)
    assert answer(1) != answer(2)
    assert answer(1)[0] != answer(1)[1]  # a prompt given twice is answered anew


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="prompt is empty"):
        generate(CountingModel(), [[1], []], max_new_tokens=1, sampling=GREEDY, stop_ids=frozenset(), seed=0)
