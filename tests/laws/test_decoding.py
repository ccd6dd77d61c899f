"""What every way of decoding must keep with every model, over the registry: a new model is tested on arrival."""

from typing import Any

import pytest
import torch

from lmlab.bundle import build_model
from lmlab.data.task import BeamDecoding, DecodingSettings, RankingDecoding, SamplingDecoding, SamplingSettings
from lmlab.decoding.answers import Answer, answer_prompts
from lmlab.models import MODELS
from lmlab.models.architectures.language_model import LanguageModel
from pipelines.compose import compose
from tests.laws.imports import PROJECT

VOCABULARY = 40
CONTEXT = 32
PROMPTS = [[0, 1, 2, 3, 0], [0, 4, 5, 6, 7, 8, 9, 10, 11, 0], [0, 12, 0], [0, 0], [0, 14, 15, 16, 0]]
CHOICES = [[1], [2, 3], [2, 4, 5], [2, 4], [6, 7, 8]]
SMALLER = {
    "transformer": ["model.width=16", "model.heads=4", "model.key_heads=2", "model.feed_forward_width=24"],
    "lstm": ["model.width=16", "model.embedding_width=12"],
    "gru": ["model.width=16", "model.embedding_width=12"],
    "pretrained": [
        "model.architecture={model_type: qwen3, vocab_size: 40, hidden_size: 16, num_hidden_layers: 2, "
        "num_attention_heads: 4, num_key_value_heads: 2, head_dim: 4, intermediate_size: 24, "
        "max_position_embeddings: 32}",
    ],
}
VARIANTS = [(name, []) for name in MODELS.names()] + [
    ("lstm", ["model.attention_span=4"]),
    ("gru", ["model.attention_span=4"]),
]
DECODINGS: list[DecodingSettings] = [
    SamplingDecoding(
        name="sampling", max_new_tokens=8, sampling=SamplingSettings(temperature=0.8, top_k=20, top_p=0.9)
    ),
    BeamDecoding(name="beam", max_new_tokens=8, beams=4, length_penalty=1.0),
    RankingDecoding(name="ranking"),
]


@pytest.fixture(params=VARIANTS, ids=lambda variant: " ".join([variant[0], *variant[1]]))
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> LanguageModel:
    """A small model in float64, so that no two continuations are likely by rounding alone."""
    name, more = request.param
    monkeypatch.chdir(PROJECT)
    settings: dict[str, Any] = compose([f"model={name}", *SMALLER.get(name, []), *more])["model"]
    torch.manual_seed(0)
    model = build_model(settings, vocabulary_size=VOCABULARY, context_length=CONTEXT, path="model")
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.5)
    return model.double().eval()


@pytest.mark.parametrize("decoding", DECODINGS, ids=lambda decoding: decoding.name)
def test_ragged_prompts_in_a_batch_get_what_each_gets_alone(model: LanguageModel, decoding: DecodingSettings) -> None:
    def answers(prompts: list[list[int]]) -> list[Answer]:
        return answer_prompts(
            model, prompts, decoding, choices=CHOICES, separator_id=0, seed=3, batch_rows=len(prompts) * 4
        )

    together = answers(PROMPTS)
    alone = [answers([prompt])[0] for prompt in PROMPTS]
    assert [answer.tokens for answer in together] == [answer.tokens for answer in alone]
    for one, other in zip(together, alone, strict=True):
        # float64: what is left is the order of summation.
        assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-10)


def test_an_answer_to_choose_is_one_of_the_choices(model: LanguageModel) -> None:
    answers = answer_prompts(
        model, PROMPTS, RankingDecoding(name="ranking"), choices=CHOICES, separator_id=0, seed=0, batch_rows=3
    )
    assert all(answer.tokens in CHOICES for answer in answers)
