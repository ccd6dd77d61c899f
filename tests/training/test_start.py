"""Training that begins from a bundle: its weights are there, and what does not fit is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lmlab.errors import InputError
from lmlab.files import file_digest
from tests.corpus import COPYING, encode_records, encoded_corpus, tokenizer_settings
from tests.training.train_tiny import MODEL_SETTINGS, train_tiny

STILL = {"max_steps": 1, "learning_rate": 1e-30, "warmup_steps": 0, "validate_every_steps": 1}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus and the bundle of a training on it."""
    folder = tmp_path_factory.mktemp("pretrained")
    encoded_corpus(folder)
    train_tiny(folder, folder)
    return folder


@pytest.fixture(scope="module")
def examples(pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Examples with prompts, of the same records, encoded with the bundle's own tokenizer."""
    folder = tmp_path_factory.mktemp("examples")
    existing = tokenizer_settings("existing", path=str(pretrained / "bundle"))
    encode_records(pretrained / "records", folder, existing, task=COPYING)
    return folder


def test_fine_tuning_begins_with_the_weights_of_the_bundle(pretrained: Path, examples: Path, tmp_path: Path) -> None:
    bundle = pretrained / "bundle"
    report = train_tiny(examples, tmp_path, start_from=str(bundle), **STILL)
    assert report["started_from"] == file_digest(bundle / "model.safetensors")
    before, after = (load_file(folder / "model.safetensors") for folder in (bundle, tmp_path / "bundle"))
    assert before.keys() == after.keys()
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, rtol=0, atol=1e-12)


def test_no_steps_keep_the_weights_as_they_are_and_measure_them_once(
    pretrained: Path, examples: Path, tmp_path: Path
) -> None:
    bundle = pretrained / "bundle"
    report = train_tiny(examples, tmp_path, start_from=str(bundle), max_steps=0)
    assert (report["steps"], report["tokens"], report["best_step"], report["stopped_by"]) == (0, 0, 0, "budget")
    before, after = (load_file(folder / "model.safetensors") for folder in (bundle, tmp_path / "bundle"))
    assert all(after[name].equal(weight) for name, weight in before.items())
    again = train_tiny(examples, tmp_path / "still", start_from=str(bundle), **STILL)
    assert report["validation_nats_per_token"] == pytest.approx(again["validation_nats_per_token"], rel=1e-6)
    assert not (tmp_path / "checkpoints").exists()


def test_what_was_learned_before_helps(pretrained: Path, examples: Path, tmp_path: Path) -> None:
    budget: dict[str, Any] = {"max_steps": 10, "validate_every_steps": 10}
    fresh = train_tiny(examples, tmp_path / "fresh", **budget)
    started = train_tiny(examples, tmp_path / "started", start_from=str(pretrained / "bundle"), **budget)
    assert started["validation_nats_per_token"] < fresh["validation_nats_per_token"] - 0.1


def test_a_training_from_fresh_weights_says_so(pretrained: Path, tmp_path: Path) -> None:
    assert train_tiny(pretrained, tmp_path, **STILL)["started_from"] is None


def test_a_bundle_of_another_shape_is_refused_with_the_setting_that_fits(
    pretrained: Path, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODEL_SETTINGS, "transformer", MODEL_SETTINGS["transformer"] | {"feed_forward_width": 64})
    with pytest.raises(InputError, match=r"model\.feed_forward_width=48, these settings have 64: set model\.feed"):
        train_tiny(examples, tmp_path, start_from=str(pretrained / "bundle"))


def test_another_kind_of_model_is_refused(pretrained: Path, examples: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"training\.start_from: .*set model\."):
        train_tiny(examples, tmp_path, model="lstm", start_from=str(pretrained / "bundle"))


def test_a_bundle_with_another_tokenizer_is_refused(pretrained: Path, tmp_path: Path) -> None:
    other = tokenizer_settings("characters", min_frequency=1)
    encode_records(pretrained / "records", tmp_path, other, task=COPYING)
    with pytest.raises(InputError, match="was trained with another tokenizer; encode with the bundle's own"):
        train_tiny(tmp_path, tmp_path / "out", start_from=str(pretrained / "bundle"))
    assert not (tmp_path / "out" / "bundle").exists()
