"""A tiny Transformer as a file for llama.cpp: what stands in it, and what llama.cpp makes of it if it is there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
from gguf import MODEL_ARCH, MODEL_TENSOR, MODEL_TENSORS, TENSOR_NAMES, GGUFReader, TokenType

from lmlab.bundle import build_model, load_bundle, save_bundle
from lmlab.data.task import LearnedTask
from lmlab.data.tokenizer import SEPARATOR, Tokenizer, train_tokenizer
from lmlab.export.exporters import EXPORTERS
from lmlab.export.exporters.bundle import OwnModel
from lmlab.export.parity import ask, ask_in_fresh_process, compare
from tests.corpus import texts, tokenizer_settings

TRANSFORMER = {
    "name": "transformer",
    "width": 32,
    "layers": 2,
    "heads": 4,
    "key_heads": 2,
    "feed_forward_width": 48,
    "rotary_base": 500.0,
    "dropout": 0.25,
}
LSTM = {"name": "lstm", "embedding_width": 8, "width": 8, "layers": 1, "dropout": 0.0, "attention_span": 0}
TASK = {
    "name": "of_a_test",
    "version": 1,
    "prompt": "",
    "choices": [],
    "cutting": {"max_prompt_tokens": None, "field": None, "side": "end"},
    "decoding": {"name": "sampling", "max_new_tokens": 8, "sampling": {"temperature": 0, "top_k": 0, "top_p": 1}},
}
CONTEXT = 48
PROMPTS = [[0, 5, 9, 17, 3], [0], [0, *range(20, 40)]]
HOSTILE = [
    "the cat",
    "  two  spaces  between   and after  ",
    "a\n\n  b\t\t c\r\n d \n",
    "1234 5 year2024 1,000.5 x²½Ⅷ ٣٤",
    "naïve 漢字 かな 한글 🙂👩‍👩‍👧 e\u0301",
    "it's 'tis I'll we've don't 'S 'LL ' s",
    "a\u00a0b\u2003 \u3000c\u200b\u2028d\u0085e\ufeff",
    f"{SEPARATOR} inside {SEPARATOR}",
    "says : \"no\" , 'yes' ! why ? 's 'm end .",
    "\x00\x01\x7f",
]


def _bpe(*, split_digits: bool = False, vocabulary_size: int = 300) -> Tokenizer:
    values = {"vocabulary_size": vocabulary_size, "min_frequency": 2, "split_digits": split_digits}
    return train_tokenizer(tokenizer_settings("bpe", **values), iter(texts(100, seed=1)))


def _bundle(folder: Path, tokenizer: Tokenizer, settings: dict = TRANSFORMER, *, prompt: str = "") -> Path:
    torch.manual_seed(0)
    model = build_model(settings, vocabulary_size=tokenizer.vocabulary_size, context_length=CONTEXT, path="model")
    # Blocks begin as the identity: with weights in all of them a wrong name shows.
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    folder.mkdir()
    task = LearnedTask.model_validate(TASK | {"prompt": prompt})
    save_bundle(folder, model, tokenizer, settings=settings, context_length=CONTEXT, task=task, facts={})
    return folder


def _export(bundle: Path, folder: Path) -> Path:
    folder.mkdir()
    EXPORTERS.get("gguf").build().write(bundle, folder)
    return folder


def _refusal(bundle: Path) -> str | None:
    return EXPORTERS.get("gguf").build().refusal(load_bundle(bundle))


def _changed(**changes: Any) -> Tokenizer:
    """A byte-level tokenizer with other values in its tokenizer.json."""
    form = json.loads(_bpe().inner.to_str())
    model = form["model"] | changes.pop("model", {})
    return Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(form | changes | {"model": model})))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _bundle(tmp_path_factory.mktemp("gguf") / "bundle", _bpe())


@pytest.fixture(scope="module")
def exported(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _export(bundle, tmp_path_factory.mktemp("exported") / "gguf")


def test_logits_and_greedy_tokens_are_those_of_the_model(bundle: Path, exported: Path) -> None:
    assert _refusal(bundle) is None
    expected = ask(OwnModel(load_bundle(bundle).model), PROMPTS, greedy_tokens=16)
    found = ask_in_fresh_process("gguf", exported, PROMPTS, greedy_tokens=16).answers
    parity = compare(expected, found, PROMPTS)
    assert parity.largest_difference < 1e-4
    assert parity.all_same
    assert np.ptp(expected[0].logits) > 1


def test_the_file_says_what_llama_cpp_asks_for(exported: Path) -> None:
    values = {key: field.contents() for key, field in GGUFReader(exported / "model.gguf").fields.items()}
    tokens, kinds = values.pop("tokenizer.ggml.tokens"), values.pop("tokenizer.ggml.token_type")
    assert tokens[0] == SEPARATOR
    assert len(tokens) == 300
    assert kinds == [TokenType.CONTROL] + [TokenType.NORMAL] * 299
    # The separator and 256 bytes are not merged from others.
    assert len(values.pop("tokenizer.ggml.merges")) == 300 - 257
    assert {key: value for key, value in values.items() if not key.startswith("GGUF.")} == {
        "general.architecture": "qwen3",
        "general.file_type": 0,
        "qwen3.context_length": CONTEXT,
        "qwen3.embedding_length": 32,
        "qwen3.block_count": 2,
        "qwen3.feed_forward_length": 48,
        "qwen3.attention.head_count": 4,
        "qwen3.attention.head_count_kv": 2,
        "qwen3.attention.key_length": 8,
        "qwen3.attention.value_length": 8,
        "qwen3.rope.freq_base": 500.0,
        "qwen3.attention.layer_norm_rms_epsilon": pytest.approx(1e-6),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "trillion",
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
    }


def test_the_tensors_are_those_of_qwen3_without_an_output_of_its_own(exported: Path) -> None:
    tensors = {tensor.name: tensor for tensor in GGUFReader(exported / "model.gguf").tensors}
    left_out = {MODEL_TENSOR.OUTPUT, MODEL_TENSOR.ROPE_FREQS}
    wanted = [TENSOR_NAMES[kind] for kind in MODEL_TENSORS[MODEL_ARCH.QWEN3] if kind not in left_out]
    assert set(tensors) <= {f"{name.format(bid=block)}.weight" for name in wanted for block in range(2)}
    assert len(tensors) == 2 + 2 * 11
    # llama.cpp tells the axis that lies closest together first.
    assert tensors["blk.1.attn_k.weight"].shape.tolist() == [32, 16]
    assert {tensor.tensor_type.name for tensor in tensors.values()} == {"F32"}


@pytest.mark.parametrize(("split_digits", "name"), [(False, "trillion"), (True, "smollm")])
def test_tokens_and_merges_make_the_same_tokenizer_again(tmp_path: Path, split_digits: bool, name: str) -> None:
    tokenizer = _bpe(split_digits=split_digits)
    path = _export(_bundle(tmp_path / "bundle", tokenizer), tmp_path / "gguf") / "model.gguf"
    values = {key: field.contents() for key, field in GGUFReader(path).fields.items()}
    assert values["tokenizer.ggml.pre"] == name
    vocabulary = {token: index for index, token in enumerate(values["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in values["tokenizer.ggml.merges"]]
    again = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, merges))
    again.pre_tokenizer = tokenizer.inner.pre_tokenizer
    assert [again.encode(text).ids for text in HOSTILE] == tokenizer.encode(HOSTILE)


def test_two_exports_write_the_same_bytes(bundle: Path, exported: Path, tmp_path: Path) -> None:
    again = _export(bundle, tmp_path / "gguf")
    assert [path.name for path in again.iterdir()] == ["model.gguf"]
    assert (again / "model.gguf").read_bytes() == (exported / "model.gguf").read_bytes()


def test_a_recurrent_model_is_refused(tmp_path: Path) -> None:
    why = _refusal(_bundle(tmp_path / "bundle", _bpe(), LSTM))
    assert why == "is for Transformers: llama.cpp has no name for lstm"


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [("unigram", {"vocabulary_size": 300}, "Unigram"), ("characters", {"min_frequency": 1}, "WordLevel")],
)
def test_a_tokenizer_of_another_kind_is_refused(tmp_path: Path, name: str, values: dict, found: str) -> None:
    tokenizer = train_tokenizer(tokenizer_settings(name, **values), iter(texts(100, seed=1)))
    why = _refusal(_bundle(tmp_path / "bundle", tokenizer))
    assert why == f"exports a tokenizer as tokenizer=bpe trains it, found the model {found}, which llama.cpp has not"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"pre_tokenizer": {"type": "Whitespace"}}, 'the pre-tokenizer {"type": "Whitespace"}'),
        ({"pre_tokenizer": None}, "the pre-tokenizer null"),
        ({"normalizer": {"type": "NFC"}}, "the normalizer NFC"),
        ({"model": {"ignore_merges": True}}, "the setting ignore_merges"),
        ({"model": {"merges": []}}, "no merges"),
    ],
)
def test_a_tokenizer_that_llama_cpp_would_read_otherwise_is_refused(tmp_path: Path, changes: dict, found: str) -> None:
    assert f"found {found}, which" in str(_refusal(_bundle(tmp_path / "bundle", _changed(**changes))))


def test_a_prompt_is_closed_where_the_model_was_trained_so(tmp_path: Path) -> None:
    exporter = EXPORTERS.get("gguf").build()
    opened = _bundle(tmp_path / "opened", _bpe())
    closed = _bundle(tmp_path / "closed", _bpe(), prompt="{text}")
    assert "create_completion('the cat', " in exporter.usage(load_bundle(opened), "the cat")
    assert f"create_completion('the cat{SEPARATOR}', " in exporter.usage(load_bundle(closed), "the cat")
    inner = json.loads(_bpe().inner.to_str().replace(SEPARATOR, "<|im_end|>"))
    named = Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(inner)), named={"eos_token": "<|im_end|>"})
    usage = exporter.usage(load_bundle(_bundle(tmp_path / "named", named, prompt="{text}")), "the cat")
    assert "create_completion('the cat<|im_end|>', " in usage
    assert "A prompt ends with `<|im_end|>`" in usage


@pytest.mark.parametrize("split_digits", [False, True])
def test_llama_cpp_makes_the_same_tokens_and_writes_the_same_text(tmp_path: Path, split_digits: bool) -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama.cpp stands outside the pinned environment")
    tokenizer = _bpe(split_digits=split_digits)
    bundle = _bundle(tmp_path / "bundle", tokenizer)
    path = _export(bundle, tmp_path / "gguf") / "model.gguf"
    # Keys and values in 32 bits too; llama.cpp keeps them in 16 by itself.
    precise = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}
    model = llama_cpp.Llama(str(path), n_ctx=CONTEXT, n_threads=1, logits_all=True, verbose=False, **precise)
    for text, ids in zip(HOSTILE, tokenizer.encode(HOSTILE), strict=True):
        assert model.tokenize(text.encode()) == [tokenizer.separator_id, *ids]
        assert model.detokenize(ids).decode() == text
    expected = ask(OwnModel(load_bundle(bundle).model), PROMPTS, greedy_tokens=16)
    for prompt, answer in zip(PROMPTS, expected, strict=True):
        model.reset()
        model.eval(prompt)
        assert np.abs(model.scores[: len(prompt)] - answer.logits).max() < 1e-4
        written = []
        for _ in range(16):
            written.append(int(model.scores[model.n_tokens - 1].argmax()))
            model.eval(written[-1:])
        assert model.detokenize(written).decode(errors="replace") == tokenizer.decode(written)
        assert written == answer.greedy
