"""Beam search, against a naive one that reads everything anew and against values worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from lmlab.data.task import SamplingSettings
from lmlab.decoding.beam import Hypothesis, beam_search
from lmlab.decoding.generate import generate
from lmlab.errors import InputError
from lmlab.models.architectures.language_model import LanguageModel, State
from tests.decoding.tiny_models import KINDS, VOCABULARY, tiny_model

STOP = 0
PROMPTS = [[3, 1, 4], [1], [5, 9, 2, 6, 5, 3], [8, 9], [7, 9, 3], [2, 3, 8, 4, 6, 2, 6]]


@torch.no_grad()
def naive(
    model: LanguageModel, prompt: list[int], *, beams: int, num_best: int, max_new_tokens: int, length_penalty: float
) -> list[Hypothesis]:
    """The definition of beam_search, word by word: one prompt, all continuations."""

    def score(nats: float, length: int) -> float:
        return nats / ((5 + length) / 6) ** length_penalty

    live: list[tuple[list[int], float]] = [([], 0.0)]
    finished: list[Hypothesis] = []
    for length in range(1, max_new_tokens + 1):
        continuations = []
        for tokens, nats in live:
            row = model(torch.tensor([prompt + tokens]))[0][0, -1].log_softmax(-1).tolist()
            continuations += [([*tokens, token], nats + row[token]) for token in range(len(row))]
        continuations.sort(key=lambda one: -one[1])
        for tokens, nats in continuations[:beams]:
            if tokens[-1] == STOP:
                finished.append(Hypothesis(tokens[:-1], nats, score(nats, length)))
            elif length == max_new_tokens:
                finished.append(Hypothesis(tokens, nats, score(nats, length)))
        live = [one for one in continuations if one[0][-1] != STOP][:beams]
        finished.sort(key=lambda hypothesis: -hypothesis.score)
        if len(finished) >= beams and live and score(live[0][1], length) <= finished[beams - 1].score:
            break
    return finished[:num_best]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("beams", "num_best"), [(1, 1), (2, 1), (4, 4), (5, 2)])
@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 2.0])
def test_beam_search_finds_what_a_naive_search_finds(
    kind: str, beams: int, num_best: int, length_penalty: float
) -> None:
    for seed in range(3):
        model = tiny_model(kind, seed=seed)
        settings = {"beams": beams, "num_best": num_best, "max_new_tokens": 8, "length_penalty": length_penalty}
        found = beam_search(model, PROMPTS, **settings, stop_id=STOP, batch_rows=4 * beams)
        for prompt, hypotheses in zip(PROMPTS, found, strict=True):
            expected = naive(model, prompt, **settings)
            assert [one.tokens for one in hypotheses] == [one.tokens for one in expected]
            # float64: what is left is the order of summation.
            assert [one.score for one in hypotheses] == pytest.approx([one.score for one in expected], abs=1e-10)
            assert [one.log_likelihood for one in hypotheses] == pytest.approx(
                [one.log_likelihood for one in expected], abs=1e-10
            )


def test_the_tiny_models_stop_early_and_late() -> None:
    # Otherwise the test above would show little.
    lengths = {
        len(hypothesis.tokens)
        for kind in KINDS
        for hypotheses in beam_search(
            tiny_model(kind, seed=0),
            PROMPTS,
            beams=4,
            num_best=4,
            max_new_tokens=8,
            length_penalty=0.6,
            stop_id=STOP,
            batch_rows=16,
        )
        for hypothesis in hypotheses
    }
    assert {0, 8} < lengths
    assert len(lengths) >= 5


@pytest.mark.parametrize("kind", KINDS)
def test_one_beam_is_greedy_decoding(kind: str) -> None:
    model = tiny_model(kind, seed=1)
    greedy = generate(
        model,
        PROMPTS,
        max_new_tokens=9,
        sampling=SamplingSettings(temperature=0, top_k=0, top_p=1),
        stop_ids=frozenset({STOP}),
        seed=0,
    )
    found = beam_search(
        model, PROMPTS, beams=1, num_best=1, max_new_tokens=9, length_penalty=1.0, stop_id=STOP, batch_rows=3
    )
    assert [best.tokens for [best] in found] == greedy


class TableModel(LanguageModel):
    """The next token's probabilities depend on the last token alone, and stand in a table; counts its rows."""

    context_length = None

    def __init__(self, table: list[list[float]]) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.tensor(table, dtype=torch.float64).log())
        self.vocabulary_size = len(table)
        self.reads: list[tuple[int, ...]] = []

    def read(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        del state
        self.reads.append(tuple(tokens.shape))
        return self.table[tokens], (tokens[:, -1:],)

    def logits(self, features: Tensor) -> Tensor:
        return features


#            stop   1     2
TABLE = [
    [0.2, 0.5, 0.3],
    [0.3, 0.3, 0.4],
    [0.8, 0.1, 0.1],
]


def _search(model: LanguageModel, *, beams: int, num_best: int, max_new_tokens: int, penalty: float) -> list:
    [found] = beam_search(
        model,
        [[0]],
        beams=beams,
        num_best=num_best,
        max_new_tokens=max_new_tokens,
        length_penalty=penalty,
        stop_id=0,
        batch_rows=8,
    )
    return [(one.tokens, round(math.exp(one.log_likelihood), 6), round(one.score, 6)) for one in found]


def test_beam_search_finds_what_greedy_decoding_misses() -> None:
    # Greedy: 1 (0.5), then 2 (0.4), then stop (0.8): 0.16. Two beams: 2 (0.3), then stop (0.8): 0.24.
    assert _search(TableModel(TABLE), beams=1, num_best=1, max_new_tokens=5, penalty=0.0) == [
        ([1, 2], 0.16, round(math.log(0.16), 6))
    ]
    assert _search(TableModel(TABLE), beams=2, num_best=2, max_new_tokens=5, penalty=0.0) == [
        ([2], 0.24, round(math.log(0.24), 6)),
        ([1, 2], 0.16, round(math.log(0.16), 6)),
    ]


def test_a_length_penalty_favours_the_longer() -> None:
    # Lengths with stop are 3 and 2.
    longer, shorter = round(math.log(0.16) / (8 / 6) ** 3, 6), round(math.log(0.24) / (7 / 6) ** 3, 6)
    assert longer > shorter
    found = _search(TableModel(TABLE), beams=2, num_best=2, max_new_tokens=5, penalty=3.0)
    assert [(tokens, score) for tokens, _, score in found] == [([1, 2], longer), ([2], shorter)]


def test_what_reaches_the_longest_length_is_finished_as_it_is() -> None:
    # Of length 1 the best two are 1 (0.5) and 2 (0.3), ahead of the stop token (0.2).
    found = _search(TableModel(TABLE), beams=2, num_best=2, max_new_tokens=1, penalty=0.0)
    assert [(tokens, share) for tokens, share, _ in found] == [([1], 0.5), ([2], 0.3)]


def test_the_prompt_is_read_once_and_in_one_row() -> None:
    model = TableModel(TABLE)
    beam_search(
        model,
        [[1, 2, 1], [2, 1, 2, 1, 2]],
        beams=2,
        num_best=2,
        max_new_tokens=2,
        length_penalty=0.0,
        stop_id=0,
        batch_rows=8,
    )
    # Both to the shorter prompt's end; one row that reads on beside two that search; then the other's two.
    assert model.reads == [(2, 3), (3, 1), (1, 1), (2, 1)]


def test_a_sure_model_is_not_cut_short_by_hopeless_answers_that_finish_first() -> None:
    # Each step leaves 2 % for stopping: two answers have finished long before the right one does.
    model = TableModel(
        [[0.02, 0.96, 0.01, 0.01], [0.02, 0.01, 0.96, 0.01], [0.02, 0.01, 0.01, 0.96], [0.97, 0.01, 0.01, 0.01]]
    )
    for penalty in (0.0, 0.6, 1.0):
        [(tokens, share, _)] = _search(model, beams=2, num_best=1, max_new_tokens=9, penalty=penalty)
        assert (tokens, share) == ([1, 2, 3], round(0.96**3 * 0.97, 6))


def test_a_search_ends_as_soon_as_nothing_can_overtake_the_best() -> None:
    model = TableModel([[0.9, 0.1 - 1e-6, 1e-6], [1e-6, 0.9, 0.1 - 1e-6], [1e-6, 0.1 - 1e-6, 0.9]])
    assert _search(model, beams=2, num_best=1, max_new_tokens=100, penalty=0.0)[0][0] == []
    assert model.reads == [(1, 1)]


def test_a_prompt_and_answer_longer_than_the_model_reads_are_refused() -> None:
    model = tiny_model("transformer", seed=0)
    prompts = [[1] * 25]
    options = {"beams": 2, "num_best": 1, "length_penalty": 0.0, "stop_id": STOP, "batch_rows": 8}
    with pytest.raises(InputError, match=r"25 tokens.*9 are more than the 32.*task\.cutting\.max_prompt_tokens"):
        beam_search(model, prompts, max_new_tokens=9, **options)
    assert len(beam_search(model, prompts, max_new_tokens=8, **options)) == 1


def test_no_prompts_have_no_answers_and_an_empty_one_is_refused() -> None:
    model = tiny_model("gru", seed=0)
    options = {"beams": 2, "max_new_tokens": 3, "length_penalty": 0.0, "stop_id": STOP, "batch_rows": 8}
    assert beam_search(model, [], num_best=1, **options) == []
    with pytest.raises(ValueError, match="prompt is empty"):
        beam_search(model, [[1], []], num_best=1, **options)
    with pytest.raises(ValueError, match="num_best"):
        beam_search(model, [[1]], num_best=3, **options)


def test_more_beams_than_tokens_find_all_there_is() -> None:
    found = beam_search(
        tiny_model("lstm", seed=0),
        [[1, 2]],
        beams=VOCABULARY + 7,
        num_best=VOCABULARY + 7,
        max_new_tokens=1,
        length_penalty=0.0,
        stop_id=STOP,
        batch_rows=8,
    )
    assert len(found[0]) == VOCABULARY
    assert sum(math.exp(one.log_likelihood) for one in found[0]) == pytest.approx(1)
