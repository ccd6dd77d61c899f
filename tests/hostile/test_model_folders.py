"""A folder of transformers' form that somebody else made is opened and answers, or is refused; no code of it runs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmlab.applying.opening import open_applier
from lmlab.data.tokenizer import FILE_NAME, Tokenizer
from lmlab.errors import InputError
from lmlab.model_folders import INDEX_NAME, find_model_folder
from tests.hostile.inputs import ANY_TEXT, VALUES, mutated, reshaped
from tests.hostile.profiles import fuzz
from tests.hostile.watching import attempt, refusal_of
from tests.models.pretrained_folders import write_model

CONFIG, TOKENS, WEIGHTS = "config.json", "tokenizer_config.json", "model.safetensors"
KINDS = ("gpt2", "qwen3", "t5")
HEADER_BYTES = 1200
# A module of that name lies in each folder, and must never be imported.
CODE = "modeling_hostile.py"
LURES = {
    "auto_map": {"AutoModelForCausalLM": "modeling_hostile.Model", "AutoConfig": "modeling_hostile.Config"},
    "trust_remote_code": True,
    "_attn_implementation": "modeling_hostile",
    "attn_implementation": "someone/kernel",
    "custom_generate": ".",
    "num_hidden_layers": 10**9,
    "n_layer": 10**9,
    "num_layers": 10**9,
    "hidden_size": 10**7,
    "n_embd": 10**7,
    "d_model": 10**7,
    "vocab_size": 10**9,
    "n_positions": 10**9,
    "num_labels": 10**9,
    "model_type": "bert",
    "quantization_config": {"quant_method": "gptq"},
}


class Folders:
    """A whole folder of each kind, and a place for a damaged copy."""

    def __init__(self, folder: Path) -> None:
        self.copy = folder / "outer" / "copy"
        self._whole = {kind: write_model(kind, folder / kind) for kind in KINDS}

    def content(self, kind: str, name: str) -> bytes:
        return (self._whole[kind] / name).read_bytes()

    def damaged(self, kind: str, name: str, content: bytes) -> Path:
        """The copy with this content in place of one file."""
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self._whole[kind], self.copy)
        (self.copy / CODE).write_text("raise SystemExit('run')\n", encoding="utf-8")
        (self.copy / name).write_bytes(content)
        return self.copy


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    folders = Folders(tmp_path_factory.mktemp("folders"))
    for kind in KINDS:
        # What is imported once is not watched.
        _ask(folders.damaged(kind, CODE, b""))
    return folders


def _ask(folder: Path) -> None:
    applier = open_applier(folder)
    [reply] = applier.answer([{"text": "the cat"}])
    reply.text.encode()
    json.dumps(reply._asdict(), allow_nan=False)


KIND = st.sampled_from(KINDS)


@fuzz(suite=25, parts=4)
@given(data=st.data(), kind=KIND)
def test_configs_of_any_shape(folders: Folders, data: st.DataObject, kind: str) -> None:
    config = json.loads(folders.content(kind, CONFIG))
    lures = st.sampled_from(sorted(LURES)).map(lambda name: {**config, name: LURES[name]})
    changed = data.draw(reshaped(config) | lures)
    folder = folders.damaged(kind, CONFIG, json.dumps(changed).encode())
    attempt(lambda: _ask(folder), folder, megabytes=1300)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["hidden_size", "n_embd", "d_model", "vocab_size", "num_hidden_layers", "num_labels"])
def test_a_config_that_asks_for_any_size_is_refused_in_bounded_memory(name: str, kind: str, folders: Folders) -> None:
    config = json.loads(folders.content(kind, CONFIG))
    folder = folders.damaged(kind, CONFIG, json.dumps({**config, name: LURES[name]}).encode())
    if name in config or name in ("num_hidden_layers", "num_labels"):
        assert "model.source" in refusal_of(lambda: _ask(folder), folder, megabytes=1300)


@fuzz(suite=25, parts=4)
@given(data=st.data(), kind=KIND, name=st.sampled_from([FILE_NAME, TOKENS]))
def test_tokenizer_files_of_any_shape(folders: Folders, data: st.DataObject, kind: str, name: str) -> None:
    changed = data.draw(reshaped(json.loads(folders.content(kind, name))))
    folder = folders.damaged(kind, name, json.dumps(changed).encode())
    attempt(lambda: _ask(folder), folder)


@fuzz(suite=25, parts=4)
@given(data=st.data(), kind=KIND, name=st.sampled_from([CONFIG, FILE_NAME, TOKENS, WEIGHTS]))
def test_damaged_bytes_of_any_file(folders: Folders, data: st.DataObject, kind: str, name: str) -> None:
    whole = folders.content(kind, name)
    cut = HEADER_BYTES if name == WEIGHTS and data.draw(st.booleans()) else len(whole)
    folder = folders.damaged(kind, name, data.draw(mutated(whole[:cut])) + whole[cut:])
    attempt(lambda: _ask(folder), folder)


@fuzz(suite=25, parts=4)
@given(
    index=VALUES
    | st.dictionaries(ANY_TEXT, VALUES | st.sampled_from(["../x", "/etc/passwd", WEIGHTS]), max_size=2).map(
        lambda places: {"weight_map": places}
    )
)
@example(index={"weight_map": {"a": "../../model.safetensors"}})
@example(index={"weight_map": {"a": "á" * 200}})
def test_indexes_of_any_shape(folders: Folders, index: Any) -> None:
    folder = folders.damaged("gpt2", INDEX_NAME, json.dumps(index).encode())
    attempt(lambda: _ask(folder), folder)


SAMPLE = ["the cat sees the dog. " * 20, "漢字 \U0001f642\u0301\x00<|endoftext|></s>", ""]


@fuzz(suite=40)
@given(data=st.data(), kind=KIND)
@example(data=None, kind="gpt2")
def test_existing_tokenizers_of_any_shape(folders: Folders, data: st.DataObject | None, kind: str) -> None:
    whole = json.loads(folders.content(kind, FILE_NAME))
    doubling = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    changed = {**whole, "normalizer": {"type": "Sequence", "normalizers": [doubling] * 30}}
    if data is not None:
        changed = data.draw(reshaped(whole))
    folder = folders.damaged(kind, FILE_NAME, json.dumps(changed).encode())
    attempt(lambda: _use(Tokenizer.load(folder)), folder)


def _use(tokenizer: Tokenizer) -> None:
    for ids in tokenizer.encode(SAMPLE):
        tokenizer.decode(ids).encode()
    tokenizer.encode_flat(SAMPLE * 30)
    tokenizer.put_around()
    for cutter in tokenizer.cutters(SAMPLE[:2], side="end"):
        cutter(3)


@fuzz(suite=40)
@given(source=ANY_TEXT | st.sampled_from(["../..", "a/../b", "a@../..", "~", "/etc/passwd", "x" * 300, "a/b/c", "a\0"]))
@example(source="~\0")
@example(source="~nobody-of-that-name")
def test_names_of_models_lead_to_a_folder_or_nowhere(source: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = attempt(
        lambda: find_model_folder(source, path="model.source"),
        tmp_path_factory.getbasetemp(),
        refusals=(InputError, OSError),
    )
    assert folder is None or folder.is_dir()
