"""Where a pretrained model comes from: folders, the hub's cache, and what is refused with one line and never opened."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from lmlab.bundle import build_model
from lmlab.errors import InputError
from lmlab.hub_access import BY_DEFAULT, OFFLINE
from lmlab.model_folders import find_model_folder
from tests.models.pretrained_folders import write_model

WEIGHTS, CONFIG = "model.safetensors", "config.json"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A causal model and an encoder-decoder."""
    parent = tmp_path_factory.mktemp("written")
    return {kind: write_model(kind, parent / kind) for kind in ("gpt2", "t5")}


@pytest.fixture
def folder(written: dict[str, Path], tmp_path: Path) -> Path:
    """A causal model, to be spoilt."""
    return shutil.copytree(written["gpt2"], tmp_path / "gpt2")


def build(source: object, *, vocabulary_size: int = 79, context_length: int = 32) -> Any:
    """The model of that source."""
    settings = {"name": "pretrained", "source": str(source), "architecture": None, "depends_on": None}
    return build_model(settings, vocabulary_size=vocabulary_size, context_length=context_length, path="model")


def _change_config(folder: Path, **changes: Any) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


class _Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self._path,))


def _only_bin(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Trap(folder / "opened")))


def _pickle_by_another_name(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(pickle.dumps(_Trap(folder / "opened")))


def _truncate(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


def _missing_part(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "model-00001-of-00002.safetensors")
    places = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")


def _part_elsewhere(folder: Path) -> None:
    places = {"a": "../other/model.safetensors"}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")


def _missing_weights(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    kept = {name: tensor for name, tensor in load_file(folder / WEIGHTS).items() if ".1.attn" not in name}
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})


def _own_code(folder: Path) -> None:
    (folder / "modeling.py").write_text(f"open({str(folder / 'opened')!r}, 'w')\n", encoding="utf-8")
    names = {"AutoConfig": "modeling.Config", "AutoModelForCausalLM": "modeling.Model"}
    _change_config(folder, model_type="homemade", auto_map=names)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights that may hold code": (_only_bin, r"pytorch_model\.bin, which may hold code and is not opened"),
    "a pickle by another name": (_pickle_by_another_name, "is damaged, or no safetensors file"),
    "weights cut off": (_truncate, "is damaged, or no safetensors file"),
    "a part that is missing": (_missing_part, r"model-00002-of-00002\.safetensors does not exist"),
    "a part outside the folder": (_part_elsewhere, "does not say which files of its folder"),
    "weights that are missing": (_missing_weights, "its files lack .* weights of the model, such as transformer"),
    "weights of another shape": (
        lambda folder: _change_config(folder, n_embd=32),
        r"its files hold \S+ as \(48,\), config.json makes it \(96,\)",
    ),
    "a model with code of its own": (_own_code, "no kind of model called 'homemade': it needs code of its own folder"),
    "quantized weights": (lambda folder: _change_config(folder, quantization_config={"bits": 4}), "are quantized"),
    "a model that is none of text": (
        lambda folder: _change_config(folder, model_type="vit"),
        "models of the kind vit write no text",
    ),
    "a setting of another type": (lambda folder: _change_config(folder, n_layer="two"), "model.source: .*n_layer"),
    "no config": (lambda folder: (folder / CONFIG).unlink(), r"holds no config\.json"),
    "a config that is no JSON": (lambda folder: (folder / CONFIG).write_bytes(b"{"), r"config\.json is not valid JSON"),
    "a bundle": (
        lambda folder: (folder / CONFIG).write_text(json.dumps({"format": 2}), encoding="utf-8"),
        "is a bundle of lmlab: go on from it with training.start_from=",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_read_is_refused_with_one_line_and_runs_nothing(fault: str, folder: Path) -> None:
    spoil, message = FAULTS[fault]
    spoil(folder)
    with pytest.raises(InputError, match=message):
        build(folder)
    assert not (folder / "opened").exists()


def test_code_beside_a_model_that_transformers_knows_does_not_run(folder: Path) -> None:
    _own_code(folder)
    _change_config(folder, model_type="gpt2", attn_implementation="someone/kernels", _attn_implementation="x/y")
    assert build(folder).vocabulary_size == 300
    assert not (folder / "opened").exists()


@pytest.mark.parametrize(
    ("kind", "sizes", "message"),
    [
        ("gpt2", {"vocabulary_size": 301}, "the tokenizer has 301 tokens, the model 300"),
        ("t5", {"vocabulary_size": 129}, "the tokenizer has 129 tokens, the model 128"),
        ("gpt2", {"context_length": 129}, "the model reads 128 tokens at once, and 129 must be"),
    ],
)
def test_what_does_not_fit_is_refused(kind: str, sizes: dict[str, int], message: str, written: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=message):
        build(written[kind], **sizes)


def test_an_encoder_decoder_without_a_start_token_is_refused(written: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(written["t5"], tmp_path / "t5")
    _change_config(folder, decoder_start_token_id=None)
    with pytest.raises(InputError, match="names no decoder_start_token_id"):
        build(folder)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"model_type": "mamba", "hidden_size": 16, "num_hidden_layers": 1}, "read on from keys and values alone"),
        (
            {
                "model_type": "granite",
                "hidden_size": 16,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "num_hidden_layers": 1,
                "intermediate_size": 16,
                "logits_scaling": 4.0,
            },
            "make their logits by more than a matrix",
        ),
    ],
    ids=["a state that is not keys and values", "logits that are scaled"],
)
def test_kinds_of_models_that_are_not_understood_are_refused(
    architecture: dict[str, Any], message: str, tmp_path: Path
) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    AutoModelForCausalLM.from_config(AutoConfig.for_model(vocab_size=80, **architecture)).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=message):
        build(tmp_path)


@pytest.fixture
def cache(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache on this machine, which holds the model someone/tiny."""
    import huggingface_hub.constants

    repository = tmp_path / "hub" / "models--someone--tiny"
    shutil.copytree(folder, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv(OFFLINE, "1")
    monkeypatch.delenv(BY_DEFAULT, raising=False)
    monkeypatch.chdir(tmp_path)
    return repository


@pytest.mark.parametrize("name", ["someone/tiny", "someone/tiny@main", f"someone/tiny@{COMMIT}"])
def test_a_model_of_the_hub_comes_from_the_cache_without_a_network(name: str, cache: Path) -> None:
    assert find_model_folder(name, path="model.source") == cache / "snapshots" / COMMIT
    assert build(name).origin == cache / "snapshots" / COMMIT


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("someone/other", "there is no folder 'someone/other', and this machine's cache does not hold"),
        ("someone/tiny@v2", r"does not hold the hub's model of that name at v2 \(HF_HUB_OFFLINE is set\)"),
        ("models/gpt2/final", "is no folder, and no model of the hub: those are called owner/name"),
        ("../tiny", "is no folder, and no model of the hub"),
    ],
)
def test_a_model_that_is_nowhere_is_named(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(name)


@pytest.mark.usefixtures("cache")
def test_where_the_user_allows_it_only_numbers_and_words_are_fetched_from_the_hub(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def fetch(name: str, **options: Any) -> str:
        asked.update(options, name=name, offline=huggingface_hub.constants.is_offline_mode())
        return str(folder)

    monkeypatch.setenv(BY_DEFAULT, "1")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert find_model_folder("someone/tiny@v1", path="model.source") == folder
    assert (asked["name"], asked["revision"], asked["offline"]) == ("someone/tiny", "v1", False)
    assert asked["local_files_only"] is False
    assert asked["allow_patterns"] == ["model*.safetensors", "*.json"]
    assert huggingface_hub.constants.is_offline_mode()
