"""A folder of transformers' form is applied as it stands: its tokenizer's prompt, up to 50 greedy tokens, its text."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from lmlab.applying.opening import open_applier
from lmlab.applying.streaming import TextStream
from lmlab.data.tokenizer import Tokenizer
from lmlab.errors import InputError
from lmlab.models.architectures.pretrained_encoder_decoder import PretrainedEncoderDecoder
from tests.models.pretrained_folders import write_model

QUESTION = "Q: What is the capital of France?"
KINDS = ("t5", "flan_t5", "gpt2", "qwen3")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    parent = tmp_path_factory.mktemp("plain")
    return {kind: write_model(kind, parent / kind) for kind in KINDS}


def _by_transformers(folder: Path, text: str) -> str:
    """What the published examples do: encode, generate up to 50 tokens, decode."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    apart = "t5" in folder.name
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = (AutoModelForSeq2SeqLM if apart else AutoModelForCausalLM).from_pretrained(folder)
    inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
    [written] = model.generate(**inputs, max_new_tokens=50, do_sample=False)
    return tokenizer.decode(written if apart else written[inputs.input_ids.shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_gets_the_answer_that_transformers_gives(kind: str, folders: dict[str, Path]) -> None:
    applier = open_applier(folders[kind])
    assert (applier.fields, applier.engine) == (["text"], "torch")
    replies = applier.answer([{"text": QUESTION}, {"text": "the cat"}])
    assert [reply.text for reply in replies] == [
        _by_transformers(folders[kind], text) for text in (QUESTION, "the cat")
    ]
    assert "".join(applier.stream({"text": QUESTION})) == replies[0].text


def test_the_encoder_reads_what_the_tokenizer_makes_of_a_text(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoTokenizer

    read: list[list[int]] = []
    original = PretrainedEncoderDecoder.encode

    def watched(self: PretrainedEncoderDecoder, tokens: Any, mask: Any) -> Any:
        read.extend(tokens.tolist())
        return original(self, tokens, mask)

    applier = open_applier(folders["t5"])
    monkeypatch.setattr(PretrainedEncoderDecoder, "encode", watched)
    applier.answer([{"text": QUESTION}])
    assert read == [AutoTokenizer.from_pretrained(folders["t5"])(QUESTION)["input_ids"]]


def test_nothing_is_gone_on_from_after_a_separator(folders: dict[str, Path]) -> None:
    applier = open_applier(folders["gpt2"])
    assert applier.prompts([{"text": ""}], applier.task.decoding) == [[0]]
    with pytest.raises(InputError, match="text: is empty"):
        open_applier(folders["t5"]).answer([{"text": " "}])


def test_a_prompt_that_is_too_long_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="the model reads 128 at most before an answer"):
        open_applier(folders["gpt2"]).answer([{"text": "the cat sees the dog. " * 90}])
    assert open_applier(folders["t5"]).answer([{"text": "the cat sees the dog. " * 90}])


def test_it_is_run_by_torch_alone(folders: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="onnxruntime: cannot run a model of transformers' form"):
        open_applier(folders["gpt2"], engine="onnxruntime")


def test_a_folder_without_a_tokenizer_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["gpt2"], tmp_path / "gpt2")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"tokenizer\.json does not exist"):
        open_applier(folder)


def test_a_token_without_a_text_of_its_own_changes_nothing_of_the_next(folders: dict[str, Path]) -> None:
    tokenizer = Tokenizer.load(folders["t5"])
    [ids] = tokenizer.encode(["the cat sees the dog."])
    # One more than the tokenizer knows, as the model may write it.
    ids.insert(len(ids) // 2, tokenizer.vocabulary_size)
    stream = TextStream(tokenizer)
    assert "".join([stream.add(token) for token in ids]) + stream.rest() == tokenizer.decode(ids)
