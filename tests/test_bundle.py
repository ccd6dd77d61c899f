"""A bundle loads as it was saved; one that was damaged or put together by hand is refused and runs no code."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lmlab.bundle import CONFIG_NAME, WEIGHTS_NAME, Bundle, build_model, load_bundle, save_bundle
from lmlab.data.tokenizer import FILE_NAME, train_tokenizer
from lmlab.errors import InputError
from lmlab.files import write_seal
from lmlab.models import MODELS
from tests.corpus import learned, texts, tokenizer_settings
from tests.training.train_tiny import MODEL_SETTINGS


def _save(folder: Path, *, model: str = "transformer", vocabulary_size: int = 280) -> Bundle:
    folder.mkdir()
    settings = tokenizer_settings("bpe", vocabulary_size=vocabulary_size, min_frequency=1, split_digits=False)
    tokenizer = train_tokenizer(settings, iter(texts(50, seed=1)))
    torch.manual_seed(0)
    built = build_model(
        MODEL_SETTINGS[model], vocabulary_size=tokenizer.vocabulary_size, context_length=32, path="model"
    ).eval()
    save_bundle(
        folder, built, tokenizer, settings=MODEL_SETTINGS[model], context_length=32, task=learned(), facts={"seed": 3}
    )
    return Bundle(built, tokenizer, {})


def _sealed_anew(folder: Path) -> None:
    """As somebody would who changes a bundle on purpose."""
    write_seal(folder, {"stage": "train"})


@pytest.mark.parametrize("model", MODELS.names())
def test_a_loaded_bundle_gives_the_same_logits_and_tokens(model: str, tmp_path: Path) -> None:
    saved = _save(tmp_path / "bundle", model=model)
    loaded = load_bundle(tmp_path / "bundle")
    tokens = torch.tensor([[1, 5, 9, 2, 7], [3, 3, 8, 0, 1]])
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model(tokens)[0], saved.model(tokens)[0], rtol=0, atol=0)
    text = "the cat sees a Zebra.\n"
    assert loaded.tokenizer.encode([text]) == saved.tokenizer.encode([text])
    assert loaded.config["seed"] == 3


def test_a_changed_weights_file_is_named(tmp_path: Path) -> None:
    _save(tmp_path / "bundle")
    path = tmp_path / "bundle" / WEIGHTS_NAME
    stored = bytearray(path.read_bytes())
    stored[-1] ^= 1
    path.write_bytes(stored)
    with pytest.raises(InputError, match=r"model\.safetensors was changed"):
        load_bundle(tmp_path / "bundle")


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda stored: stored[: len(stored) // 2],
    "empty": lambda _: b"",
    "a header that claims gigabytes": lambda stored: b"\xff" * 8 + stored[8:],
    "a header that is not JSON": lambda stored: stored[:8] + b"x" + stored[9:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_under_a_fitting_seal_are_refused(damage: str, tmp_path: Path) -> None:
    _save(tmp_path / "bundle")
    path = tmp_path / "bundle" / WEIGHTS_NAME
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    _sealed_anew(tmp_path / "bundle")
    with pytest.raises(InputError, match=r"model\.safetensors does not hold this model's weights"):
        load_bundle(tmp_path / "bundle")


def test_a_pickle_in_place_of_the_weights_runs_no_code(tmp_path: Path) -> None:
    _save(tmp_path / "bundle")
    owned = tmp_path / "owned"
    (tmp_path / "bundle" / WEIGHTS_NAME).write_bytes(pickle.dumps(Evil(owned)))
    _sealed_anew(tmp_path / "bundle")
    with pytest.raises(InputError, match=r"model\.safetensors does not hold this model's weights"):
        load_bundle(tmp_path / "bundle")
    assert not owned.exists()


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    _save(tmp_path / "bundle")
    _save(tmp_path / "other", model="lstm")
    (tmp_path / "other" / WEIGHTS_NAME).replace(tmp_path / "bundle" / WEIGHTS_NAME)
    _sealed_anew(tmp_path / "bundle")
    with pytest.raises(InputError, match=r"model\.safetensors does not hold this model's weights"):
        load_bundle(tmp_path / "bundle")


def test_a_tokenizer_that_does_not_fit_is_refused_with_both_sizes(tmp_path: Path) -> None:
    _save(tmp_path / "bundle")
    _save(tmp_path / "other", vocabulary_size=270)
    (tmp_path / "other" / FILE_NAME).replace(tmp_path / "bundle" / FILE_NAME)
    _sealed_anew(tmp_path / "bundle")
    with pytest.raises(InputError, match="the tokenizer has 270 tokens, the model was trained with 280"):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("vocabulary_size", None, r"config\.json: vocabulary_size"),
        ("model", None, r"config\.json: model"),
        ("model", {"name": "nope"}, "no model is called 'nope'"),
        ("model", MODEL_SETTINGS["lstm"] | {"widht": 3}, r"config\.json: model\.widht.* did you mean 'width'"),
    ],
)
def test_a_config_that_builds_no_model_is_refused(key: str, value: object, message: str, tmp_path: Path) -> None:
    _save(tmp_path / "bundle")
    path = tmp_path / "bundle" / CONFIG_NAME
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, key: value} if value else {k: v for k, v in config.items() if k != key}))
    _sealed_anew(tmp_path / "bundle")
    with pytest.raises(InputError, match=message):
        load_bundle(tmp_path / "bundle")
