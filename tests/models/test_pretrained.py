"""Pretrained models answer as transformers has them answer, through every way of decoding, and from a bundle too."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lmlab.bundle import build_model, load_bundle, save_bundle
from lmlab.data.task import BeamDecoding, DecodingSettings, RankingDecoding, SamplingDecoding, SamplingSettings
from lmlab.data.tokenizer import Tokenizer
from lmlab.decoding.answers import Answer, answer_prompts
from lmlab.decoding.generate import generate
from lmlab.engines.graph import graph_of
from lmlab.models.architectures.language_model import LanguageModel, select_rows
from tests.corpus import learned
from tests.models.pretrained_folders import CONFIGS, write_model

CAUSAL = ("gpt2", "qwen3", "mistral")
ANSWERING = ("t5", "flan_t5")
GREEDY = SamplingSettings(temperature=0, top_k=0, top_p=1)
SEPARATOR = {**dict.fromkeys(CAUSAL, 0), **dict.fromkeys(ANSWERING, 1)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of transformers' form of every kind."""
    parent = tmp_path_factory.mktemp("pretrained")
    return {kind: write_model(kind, parent / kind) for kind in CONFIGS}


def settings_of(folder: Path) -> dict[str, Any]:
    """The section `model` for this source."""
    return {"name": "pretrained", "source": str(folder), "architecture": None, "depends_on": None}


def ours(folder: Path) -> LanguageModel:
    """The model behind our seam, in float64."""
    return build_model(settings_of(folder), vocabulary_size=79, context_length=32, path="model").double().eval()


def theirs(folder: Path) -> Any:
    """The model as transformers has it, in float64."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    kind = AutoModelForSeq2SeqLM if folder.name in ANSWERING else AutoModelForCausalLM
    return kind.from_pretrained(folder).double().eval()


def prompts_of(kind: str) -> list[list[int]]:
    """Ragged prompts between separators."""
    separator = SEPARATOR[kind]
    return [[separator, *asked, separator] for asked in ([5, 6, 7], [20], [8, 9, 10, 11, 12, 13, 14], [30, 31])]


def _check(found: Tensor, expected: Tensor) -> None:
    # float64: what is left is the order of summation.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def _texts(*, rows: int = 3, time: int = 20) -> Tensor:
    return torch.randint(2, 79, (rows, time), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
@pytest.mark.parametrize("kind", CAUSAL)
def test_causal_logits_are_those_of_transformers_in_one_pass_and_in_chunks(kind: str, folders: dict[str, Path]) -> None:
    model, tokens = ours(folders[kind]), _texts()
    expected = theirs(folders[kind])(tokens).logits
    _check(model(tokens)[0], expected)
    reader = model.reader(rows=3, length=20)
    state, end = None, 0
    for chunk in tokens.split([5, 1, 1, 6, 7], dim=1):
        logits, state = model(chunk, state)
        _check(logits, expected[:, end : end + chunk.shape[1]])
        end += chunk.shape[1]
        _check(reader.read(chunk), expected[:, end - 1])


@torch.no_grad()
@pytest.mark.parametrize("kind", CAUSAL)
def test_a_causal_state_has_the_batch_first_so_that_rows_can_be_chosen(kind: str, folders: dict[str, Path]) -> None:
    model, tokens, rows = ours(folders[kind]), _texts(), torch.tensor([2, 0, 2])
    _, state = model(tokens[:, :12])
    chosen, _ = model(tokens[rows, 12:], select_rows(state, rows))
    _check(chosen, model(tokens)[0][rows, 12:])


@torch.no_grad()
@pytest.mark.parametrize("kind", ANSWERING)
def test_logits_of_padded_examples_are_those_that_transformers_gives_each(kind: str, folders: dict[str, Path]) -> None:
    tokens = _texts(rows=4)
    tokens[:, 0] = 1
    for row, (closing, end) in enumerate([(7, 20), (12, 20), (1, 9)]):
        tokens[row, closing], tokens[row, end:] = 1, 1
    model, reference = ours(folders[kind]), theirs(folders[kind])
    logits, _ = model(tokens)
    # The last row has no second separator: all of it is the prompt.
    for row, (closing, end) in enumerate([(7, 20), (12, 20), (1, 9), (19, 20)]):
        answer = tokens[row : row + 1, closing:end].clone()
        answer[0, 0] = 0
        prompt = tokens[row : row + 1, 1 : closing + 1]
        expected = reference(input_ids=prompt, decoder_input_ids=answer).logits[0]
        _check(logits[row, closing:end], expected)


@torch.no_grad()
@pytest.mark.parametrize("kind", ANSWERING)
def test_an_answer_read_in_chunks_gets_what_one_pass_gives(kind: str, folders: dict[str, Path]) -> None:
    model, starts = ours(folders[kind]).conditioned(prompts_of(kind))
    assert starts == [[0]] * 4
    answers = _texts(rows=4, time=9)
    whole, _ = model(answers)
    first, state = model(answers[:, :3])
    rows = torch.tensor([3, 1, 1])
    rest, _ = model(answers[rows, 3:], select_rows(state, rows))
    _check(first, whole[:, :3])
    _check(rest, whole[rows, 3:])
    with pytest.raises(ValueError, match="3 rows are read after 4 prompts"):
        model(answers[:3])


@pytest.mark.parametrize("kind", CONFIGS)
def test_greedy_answers_are_those_of_transformers(kind: str, folders: dict[str, Path]) -> None:
    model, reference = ours(folders[kind]), theirs(folders[kind])
    stop = frozenset({SEPARATOR[kind]})
    found = generate(model, prompts_of(kind), max_new_tokens=12, sampling=GREEDY, stop_ids=stop, seed=0)
    for prompt, answer in zip(prompts_of(kind), found, strict=True):
        given = prompt[1:] if kind in ANSWERING else prompt
        read = torch.tensor([given])
        written = reference.generate(read, attention_mask=torch.ones_like(read), max_new_tokens=12, do_sample=False)
        expected = written[0, 1 if kind in ANSWERING else len(given) :].tolist()
        assert answer == [token for token in expected if token != SEPARATOR[kind]]


DECODINGS: list[DecodingSettings] = [
    SamplingDecoding(name="sampling", max_new_tokens=8, sampling=SamplingSettings(temperature=1.5, top_k=0, top_p=1.0)),
    BeamDecoding(name="beam", max_new_tokens=8, beams=4, length_penalty=1.0),
    RankingDecoding(name="ranking"),
]
CHOICES = [[5], [6, 7], [6, 8, 9], [6, 8], [10, 11, 12]]


@pytest.mark.parametrize("decoding", DECODINGS, ids=lambda decoding: decoding.name)
@pytest.mark.parametrize("kind", ["gpt2", *ANSWERING])
def test_ragged_prompts_in_a_batch_get_what_each_gets_alone(
    kind: str, decoding: DecodingSettings, folders: dict[str, Path]
) -> None:
    model = ours(folders[kind])

    def answers(some: list[list[int]], *, rows: int) -> list[Answer]:
        return answer_prompts(
            model, some, decoding, choices=CHOICES, separator_id=SEPARATOR[kind], seed=3, batch_rows=rows
        )

    prompts = prompts_of(kind)
    alone = [answers([prompt], rows=8)[0] for prompt in prompts]
    for together in (answers(prompts, rows=16), answers(prompts, rows=5)):
        assert [answer.tokens for answer in together] == [answer.tokens for answer in alone]
        for one, other in zip(together, alone, strict=True):
            assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-10)


@pytest.mark.parametrize("decoding", DECODINGS[1:], ids=lambda decoding: decoding.name)
@pytest.mark.parametrize("kind", ANSWERING)
def test_the_likelihood_of_an_answer_is_what_transformers_gives_it(
    kind: str, decoding: DecodingSettings, folders: dict[str, Path]
) -> None:
    model, reference, prompts = ours(folders[kind]), theirs(folders[kind]), prompts_of(kind)
    answers = answer_prompts(model, prompts, decoding, choices=CHOICES, separator_id=1, seed=3, batch_rows=16)
    for prompt, answer in zip(prompts, answers, strict=True):
        # An answer as long as it may be need not stop.
        targets = answer.tokens if len(answer.tokens) == 8 else [*answer.tokens, 1]
        read = {"input_ids": torch.tensor([prompt[1:]]), "decoder_input_ids": torch.tensor([[0, *targets[:-1]]])}
        nats = reference(**read).logits[0].log_softmax(dim=-1)
        expected = nats[range(len(targets)), targets].sum().item()
        assert answer.log_likelihood == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_bundle_holds_all_that_the_model_is(kind: str, folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    source, bundle = tmp_path / kind, tmp_path / "bundle"
    shutil.copytree(folders[kind], source)
    tokenizer = Tokenizer.load(source)
    size = tokenizer.vocabulary_size
    model = build_model(settings_of(source), vocabulary_size=size, context_length=32, path="model").eval()
    bundle.mkdir()
    settings = settings_of(source)
    save_bundle(bundle, model, tokenizer, settings=settings, context_length=32, task=learned(), facts={})
    shutil.rmtree(source)
    loaded = load_bundle(bundle)
    tokens = _texts()
    tokens[:, 0] = tokens[:, 9] = SEPARATOR[kind]
    assert loaded.model(tokens)[0].equal(model(tokens)[0])
    assert loaded.model.vocabulary_size == model.vocabulary_size >= loaded.tokenizer.vocabulary_size
    assert loaded.tokenizer == tokenizer
    assert str(tmp_path) not in (bundle / "config.json").read_text(encoding="utf-8")
    # A matrix with two names is stored once.
    stored = sum(tensor.size for tensor in load_file(bundle / "model.safetensors").values())
    assert stored == model.num_parameters()
    assert graph_of(loaded.model, fused=False) is None


@pytest.mark.parametrize("kind", ["qwen3", "t5"])
def test_every_weight_learns(kind: str, folders: dict[str, Path]) -> None:
    model = build_model(settings_of(folders[kind]), vocabulary_size=79, context_length=32, path="model")
    assert model.training
    tokens = _texts()
    tokens[:, 0] = tokens[:, 4] = SEPARATOR[kind]
    logits, _ = model(tokens)
    logits[:, 5:].square().sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())
    # How many tokens an encoder reads and how many a decoder is not known.
    assert math.isnan(model.training_operations(tokens=9, targets=4, length=9)) == (kind == "t5")
    # Other software takes the separator for padding, which would never learn.
    embedding = model.embedding_parameters()[0]
    assert embedding.grad is not None
    assert embedding.grad[SEPARATOR[kind]].abs().sum() > 0
    assert len({id(weight) for weight in model.embedding_parameters()}) == len(model.embedding_parameters())
