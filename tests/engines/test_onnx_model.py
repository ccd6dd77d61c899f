"""onnxruntime gives what torch gives, for every kind of model and every way of decoding."""

import pytest
import torch
from onnx import checker

from lmlab.decoding.beam import beam_search
from lmlab.decoding.generate import generate
from lmlab.decoding.ranking import rank_choices
from lmlab.decoding.sampling import Sampling
from lmlab.engines.graph import graph_of
from lmlab.engines.onnx_model import BoundReader, OnnxLanguageModel, engine_of
from lmlab.models.architectures.language_model import LanguageModel
from lmlab.models.architectures.transformer import TransformerLanguageModel
from tests.decoding.tiny_models import KINDS, VOCABULARY, tiny_model

PROMPTS = [[0, 3, 5], [0], [0, *range(1, 20)]]
GREEDY = Sampling(temperature=0, top_k=0, top_p=1)


WIDE = "transformer with heads of 16"
"""onnxruntime's fused attention takes no narrower ones."""


@pytest.fixture(params=[*KINDS, WIDE])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    return _wide() if request.param == WIDE else tiny_model(request.param, seed=1).float()


def _wide() -> LanguageModel:
    torch.manual_seed(1)
    shape = {"width": 16, "layers": 2, "heads": 4, "key_heads": 2, "head_width": 16, "feed_forward_width": 24}
    model = TransformerLanguageModel(
        vocabulary_size=VOCABULARY, **shape, context_length=32, rotary_base=100.0, dropout=0.0
    )
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.6)
    return model.eval()


def _engine(model: LanguageModel, *, fused: bool) -> OnnxLanguageModel:
    graph = graph_of(model, fused=fused)
    assert graph is not None
    return OnnxLanguageModel.from_graph(graph, like=model)


@pytest.mark.parametrize("fused", [False, True])
def test_one_pass_and_chunks_give_the_logits_of_torch(model: LanguageModel, fused: bool) -> None:
    engine = _engine(model, fused=fused)
    tokens = torch.randint(VOCABULARY, (3, 20), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected, _ = model(tokens)
    assert expected.std() > 0.3
    torch.testing.assert_close(engine(tokens)[0], expected, rtol=1e-5, atol=2e-5)
    pieces, state = [], None
    for piece in tokens.split([7, 1, 9, 3], dim=1):
        logits, state = engine(piece, state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, rtol=1e-5, atol=2e-5)
    last, _ = engine.last_logits(tokens)
    torch.testing.assert_close(last, expected[:, -1], rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("fused", [False, True])
def test_greedy_tokens_are_those_of_torch_in_a_ragged_batch_and_beyond_the_context(
    model: LanguageModel, fused: bool
) -> None:
    # The Transformer reads 32 tokens at once.
    found, expected = (
        generate(one, PROMPTS, max_new_tokens=40, sampling=GREEDY, stop_ids=frozenset({7}), seed=0)
        for one in (_engine(model, fused=fused), model)
    )
    assert found == expected
    assert max(map(len, found)) > 12


def test_sampled_tokens_are_those_of_torch(model: LanguageModel) -> None:
    sampling = Sampling(temperature=0.9, top_k=12, top_p=0.9)
    found, expected = (
        generate(one, PROMPTS, max_new_tokens=12, sampling=sampling, stop_ids=frozenset({7}), seed=5)
        for one in (engine_of(model), model)
    )
    assert found == expected


def test_beams_and_rankings_are_those_of_torch(model: LanguageModel) -> None:
    engine = engine_of(model)
    beams = {"beams": 3, "num_best": 2, "max_new_tokens": 8, "length_penalty": 1.0, "stop_id": 7, "batch_rows": 8}
    found, expected = (beam_search(one, PROMPTS, **beams) for one in (engine, model))
    assert [[best.tokens for best in bests] for bests in found] == [
        [best.tokens for best in bests] for bests in expected
    ]
    choices = [[1], [2, 3], [2, 4, 5], [2, 4, 5, 6, 8], [9, 9, 9]]
    ranked, wanted = (rank_choices(one, PROMPTS, choices, stop_id=7, batch_rows=6) for one in (engine, model))
    torch.testing.assert_close(ranked, wanted, rtol=1e-4, atol=1e-4)


def test_two_readers_of_one_model_do_not_disturb_each_other(model: LanguageModel) -> None:
    engine = engine_of(model)
    first, second = engine.reader(rows=1, length=8), engine.reader(rows=1, length=8)
    told = torch.tensor([[0, 5, 6]])
    first.read(told)
    second.read(torch.tensor([[0, 9]]))
    with torch.inference_mode():
        expected = model(torch.cat([told, torch.tensor([[4]])], dim=1))[0][:, -1]
    torch.testing.assert_close(first.read(torch.tensor([[4]])), expected, rtol=1e-5, atol=2e-5)


def test_a_reader_that_can_write_in_place_does(model: LanguageModel) -> None:
    narrow = isinstance(model, TransformerLanguageModel) and model.head_width < 16
    grows = getattr(model, "past_attention", None) is not None
    assert isinstance(engine_of(model).reader(rows=2, length=4), BoundReader) != (grows or narrow)


def test_the_graph_has_onnx_own_cells_and_the_same_bytes_each_time(model: LanguageModel) -> None:
    graphs = [graph_of(model, fused=False) for _ in range(2)]
    assert graphs[0] is not None
    assert graphs[1] is not None
    checker.check_model(graphs[0].model, full_check=True)
    assert graphs[0].model.SerializeToString(deterministic=True) == graphs[1].model.SerializeToString(
        deterministic=True
    )
    kinds = [node.op_type for node in graphs[0].model.graph.node]
    cell = getattr(model, "cell", None)
    assert kinds.count(cell.mode if cell else "Attention") == 2
    assert {node.domain for node in graphs[0].model.graph.node} == {""}


def test_a_model_that_is_not_on_the_cpu_stays_what_it_is() -> None:
    model = tiny_model("lstm", seed=1).to("meta")
    assert engine_of(model) is model
