"""What every model must keep, over the registry: a new model is tested on arrival."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lmlab.bundle import build_model
from lmlab.data.task import SamplingSettings
from lmlab.decoding.generate import generate
from lmlab.models import MODELS
from lmlab.models.architectures.language_model import LanguageModel, select_rows
from pipelines.compose import compose
from tests.laws.imports import PROJECT

VOCABULARY = 50
TINY: dict[str, list[str]] = {
    "transformer": [
        "model.width=32",
        "model.heads=4",
        "model.key_heads=2",
        "model.feed_forward_width=48",
        "model.layers=2",
    ],
    "lstm": ["model.width=24", "model.embedding_width=16", "model.layers=2", "model.attention_span=0"],
    "gru": ["model.width=24", "model.embedding_width=16", "model.layers=2", "model.attention_span=0"],
    "pretrained": [
        "model.architecture={model_type: qwen3, vocab_size: 50, hidden_size: 32, num_hidden_layers: 2, "
        "num_attention_heads: 4, num_key_value_heads: 2, head_dim: 8, intermediate_size: 48, "
        "max_position_embeddings: 48, tie_word_embeddings: true}",
    ],
}
VARIANTS = [(name, []) for name in MODELS.names()] + [
    ("lstm", ["model.attention_span=5"]),
    ("gru", ["model.attention_span=5"]),
    ("transformer", ["model.key_heads=4"]),
]


def _settings(name: str, more: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(PROJECT)
    return compose([f"model={name}", *TINY.get(name, []), *more])["model"]


@pytest.fixture(params=VARIANTS, ids=lambda variant: " ".join([variant[0], *variant[1]]))
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> LanguageModel:
    """A tiny model in float64, with weights large enough that a mistake shows."""
    name, more = request.param
    torch.manual_seed(0)
    model = build_model(_settings(name, more, monkeypatch), vocabulary_size=VOCABULARY, context_length=48, path="model")
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.double().eval()


def _tokens(*, rows: int = 3, time: int = 20) -> Tensor:
    return torch.randint(0, VOCABULARY, (rows, time), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_reading_in_chunks_gives_what_one_pass_gives(model: LanguageModel) -> None:
    tokens = _tokens()
    whole, _ = model(tokens)
    state, parts = None, []
    for chunk in tokens.split([5, 1, 1, 6, 7], dim=1):
        logits, state = model(chunk, state)
        parts.append(logits)
    # float64: what is left is the order of summation.
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-10, rtol=0)


@torch.no_grad()
def test_logits_do_not_depend_on_later_tokens(model: LanguageModel) -> None:
    tokens = _tokens()
    changed = tokens.clone()
    changed[:, 12:] = (changed[:, 12:] + 1) % VOCABULARY
    before, after = model(tokens)[0], model(changed)[0]
    torch.testing.assert_close(before[:, :12], after[:, :12], atol=1e-10, rtol=0)
    assert not torch.allclose(before[:, 12:], after[:, 12:])


@torch.no_grad()
def test_a_row_does_not_depend_on_its_neighbours(model: LanguageModel) -> None:
    tokens = _tokens()
    together = model(tokens)[0]
    for row in range(len(tokens)):
        torch.testing.assert_close(model(tokens[row : row + 1])[0][0], together[row], atol=1e-10, rtol=0)


@torch.no_grad()
def test_a_state_has_the_batch_first_so_that_rows_can_be_chosen(model: LanguageModel) -> None:
    tokens = _tokens()
    _, state = model(tokens[:, :9])
    assert all(len(tensor) == len(tokens) for tensor in state)
    rows = torch.tensor([2, 0, 2])
    chosen, _ = model(tokens[rows, 9:], select_rows(state, rows))
    all_rows, _ = model(tokens[:, 9:], state)
    torch.testing.assert_close(chosen, all_rows[rows], atol=1e-10, rtol=0)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_ragged_prompts_in_a_batch_get_what_each_gets_alone(model: LanguageModel, temperature: float) -> None:
    sampling = SamplingSettings(temperature=temperature, top_k=20, top_p=0.9)
    prompts = [[1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11], [12]]
    stops = frozenset({0, 30, 31, 32})

    def answers(some: list[list[int]]) -> list[list[int]]:
        return generate(model, some, max_new_tokens=12, sampling=sampling, stop_ids=stops, seed=3)

    assert answers(prompts) == [answers([prompt])[0] for prompt in prompts]


def test_a_model_can_memorise_eight_examples(model: LanguageModel) -> None:
    model = model.float().train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    tokens = _tokens(rows=8, time=12)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    for _ in range(150):
        loss = torch.nn.functional.cross_entropy(model(tokens[:, :-1])[0].flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    predicted = model.eval()(tokens[:, :-1])[0].argmax(-1)
    # The first token of each row decides the rest, but where two rows begin alike.
    assert (predicted == tokens[:, 1:]).float().mean() > 0.95


def test_default_models_have_about_equal_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    composed = {name: compose([f"model={name}"]) for name in ("lstm", "gru", "transformer")}
    size = composed["transformer"]["tokenizer"]["vocabulary_size"]
    counts = {
        name: build_model(params["model"], vocabulary_size=size, context_length=64, path="model").num_parameters()
        for name, params in composed.items()
    }
    assert max(counts.values()) <= 1.1 * min(counts.values()), counts


def test_every_model_has_settings_in_conf() -> None:
    for name in MODELS.names():
        assert (Path(PROJECT) / "conf" / "model" / f"{name}.yaml").is_file()
