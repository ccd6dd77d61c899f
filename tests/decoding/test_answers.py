"""The one door to answers: each way of decoding, in the order of the prompts, whatever the batches."""

import math
from typing import Any

import pytest
import torch

from lmlab.data.task import BeamDecoding, DecodingSettings, RankingDecoding, SamplingDecoding, SamplingSettings
from lmlab.decoding.answers import Answer, answer_prompts
from lmlab.decoding.beam import beam_search
from lmlab.decoding.generate import generate
from lmlab.decoding.ranking import rank_choices
from lmlab.models.architectures.language_model import LanguageModel
from tests.decoding.tiny_models import tiny_model

PROMPTS = [[0, 3, 1, 4, 0], [0, 1, 0], [0, 5, 9, 2, 6, 0], [0, 1, 0], [0, 8, 0], [0, 1, 0]]
CHOICES = [[1], [2, 3], [2, 4], [5]]
BEAM = BeamDecoding(name="beam", max_new_tokens=6, beams=3, length_penalty=0.6)


def _sampling(temperature: float) -> SamplingDecoding:
    sampling = SamplingSettings(temperature=temperature, top_k=0, top_p=1)
    return SamplingDecoding(name="sampling", max_new_tokens=6, sampling=sampling)


ALL: list[DecodingSettings] = [_sampling(0), _sampling(1), BEAM, RankingDecoding(name="ranking")]


def _answers(model: LanguageModel, decoding: DecodingSettings, **changed: Any) -> list[Answer]:
    options: dict[str, Any] = {"choices": CHOICES, "separator_id": 0, "seed": 7, "batch_rows": 4} | changed
    return answer_prompts(model, PROMPTS, decoding, **options)


def test_greedy_answers_are_those_of_generate() -> None:
    model = tiny_model("gru", seed=1)
    expected = generate(
        model, PROMPTS, max_new_tokens=6, sampling=_sampling(0).sampling, stop_ids=frozenset({0}), seed=7
    )
    assert _answers(model, _sampling(0)) == [Answer(tokens, None, None) for tokens in expected]


def test_beam_answers_are_the_best_hypotheses() -> None:
    model = tiny_model("transformer", seed=1)
    found = beam_search(
        model, PROMPTS, beams=3, num_best=3, max_new_tokens=6, length_penalty=0.6, stop_id=0, batch_rows=64
    )
    answers = _answers(model, BEAM)
    assert [answer.tokens for answer in answers] == [best.tokens for best, *_ in found]
    assert [answer.log_likelihood for answer in answers] == pytest.approx([best.log_likelihood for best, *_ in found])
    assert {answer.probability for answer in answers} == {None}


def test_ranking_answers_with_the_likeliest_choice_and_its_share() -> None:
    model = tiny_model("lstm", seed=1)
    nats = rank_choices(model, PROMPTS, CHOICES, stop_id=0, batch_rows=64).tolist()
    for answer, row in zip(_answers(model, RankingDecoding(name="ranking")), nats, strict=True):
        assert answer.tokens == CHOICES[row.index(max(row))]
        assert answer.log_likelihood == pytest.approx(max(row))
        assert answer.probability == pytest.approx(math.exp(max(row)) / sum(map(math.exp, row)))


@pytest.mark.parametrize("decoding", ALL, ids=lambda decoding: decoding.name)
@pytest.mark.parametrize("kind", ["gru with attention", "transformer"])
def test_answers_do_not_depend_on_how_many_are_made_at_once(kind: str, decoding: DecodingSettings) -> None:
    model = tiny_model(kind, seed=3)
    few, many = _answers(model, decoding, batch_rows=1), _answers(model, decoding, batch_rows=64)
    assert [answer.tokens for answer in few] == [answer.tokens for answer in many]
    for one, other in zip(few, many, strict=True):
        # float64: what is left is the order of summation.
        assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-10)
        assert one.probability == pytest.approx(other.probability, abs=1e-10)


def test_a_prompt_given_several_times_is_sampled_anew() -> None:
    model = tiny_model("gru", seed=1)
    torch.nn.init.zeros_(model.embedding_parameters()[0])  # every token is as likely
    answers = _answers(model, _sampling(1))
    assert len({tuple(answers[number].tokens) for number in (1, 3, 5)}) == 3
    assert answers == _answers(model, _sampling(1))
    assert answers != _answers(model, _sampling(1), seed=8)


def test_ranking_without_choices_is_refused() -> None:
    with pytest.raises(ValueError, match="needs choices"):
        _answers(tiny_model("gru", seed=0), RankingDecoding(name="ranking"), choices=[])
