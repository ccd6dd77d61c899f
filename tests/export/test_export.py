"""The stage export on a tiny bundle: the parity check, the card, and what happens when answers differ."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lmlab.bundle import load_bundle
from lmlab.config import validate
from lmlab.errors import InputError
from lmlab.export.export import ExportInputs, ExportOutputs, ExportSettings, export
from lmlab.export.exporter import Answer
from lmlab.export.parity import Asked, ask_in_fresh_process, compare
from lmlab.export.settings import ExportSettings as ExportSection
from lmlab.files import check_seal, read_json, write_json
from lmlab.run import Run
from tests.corpus import encoded_corpus
from tests.training.train_tiny import train_tiny

PARITY = {"num_prompts": 3, "prompt_tokens": 12, "greedy_tokens": 8, "largest_difference": 1e-4}
EVALUATION = {
    "bits_per_byte": 2.5,
    "bits_per_byte_low": 2.25,
    "bits_per_byte_high": 2.75,
    "baseline/xz/bits_per_byte": 3.0,
    "details": {
        "task": "language_modeling",
        "reading": "Windows of 32 tokens.",
        "metrics": {"bits_per_byte": {"label": "bits per byte", "better": "lower", "signature": None}},
        "baselines": {"xz": "xz, test text alone"},
        "decoding": {
            "name": "sampling",
            "max_new_tokens": 8,
            "sampling": {"temperature": 0.7, "top_k": 0, "top_p": 1.0},
        },
        "by_prompt_length": [],
        "best": [],
    },
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    encoded_corpus(folder)
    train_tiny(folder, folder, max_steps=4)
    cleaning = {
        "source": {"name": "files", "digest": "f" * 64},
        "before": {"records": 1234},
        "after": {"records": 1000},
        "splits": {"train": {"records": 900, "bytes": 2_500_000}},
    }
    write_json(folder / "cleaning.json", cleaning)
    write_json(folder / "evaluation.json", EVALUATION)
    return folder


def _export(trained: Path, folder: Path, **changes: object) -> dict:
    values = {"artifacts": ["bundle"], "parity": PARITY | changes}
    inputs = ExportInputs(
        trained / "bundle",
        trained / "tokens",
        trained / "cleaning.json",
        trained / "encoding.json",
        trained / "evaluation.json",
    )
    outputs = ExportOutputs(folder / "export", folder / "export.json")
    return export(ExportSettings(validate(ExportSection, values, path="export")), inputs, outputs, Run())


def test_the_bundle_answers_as_the_model_and_the_report_says_so(trained: Path, tmp_path: Path) -> None:
    report = _export(trained, tmp_path)
    assert read_json(tmp_path / "export.json") == report
    assert (report["num_prompts"], report["greedy_tokens"]) == (3, 8)
    [artifact] = report["artifacts"]
    assert artifact["name"] == "bundle"
    assert (artifact["largest_difference"], artifact["same_greedy_tokens"]) == (0.0, 3)
    files = list((tmp_path / "export" / "bundle").iterdir())
    assert {"model.safetensors", "tokenizer.json", "config.json", "README.md"} <= {path.name for path in files}
    check_seal(tmp_path / "export")
    load_bundle(tmp_path / "export" / "bundle")


def test_prompts_are_cut_to_what_the_model_can_read(trained: Path, tmp_path: Path) -> None:
    # The tiny transformer reads 32 tokens; the separator and 500 tokens are more.
    assert _export(trained, tmp_path, prompt_tokens=500)["artifacts"][0]["same_greedy_tokens"] == 3


def test_the_card_tells_data_settings_metrics_and_limits(trained: Path, tmp_path: Path) -> None:
    _export(trained, tmp_path)
    card = (tmp_path / "export" / "bundle" / "README.md").read_text(encoding="utf-8")
    for part in (
        "Source `files` (digest `ffffffffffffffff`): 900 training records, 2.5 MB of cleaned text",
        "1,000 of 1,234 records passed the cleaning",
        "4 steps, 256 tokens, seed 1",
        "    feed_forward_width: 48",
        "| bits per byte (lower is better) | 2.5000 | 2.2500 to 2.7500 |",
        "| baseline, xz, test text alone: bits per byte | 3.0000 |",
        "Windows of 32 tokens.",
        "## Limits",
    ):
        assert part in card, part


def test_an_artifact_whose_answers_differ_fails_the_stage_and_leaves_nothing(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(name: str, folder: Path, prompts: Sequence[Sequence[int]], *, greedy_tokens: int) -> Asked:
        asked = ask_in_fresh_process(name, folder, prompts, greedy_tokens=greedy_tokens)
        return asked._replace(answers=[Answer(logits + np.float32(0.5), greedy) for logits, greedy in asked.answers])

    monkeypatch.setattr("lmlab.export.export.ask_in_fresh_process", other)
    with pytest.raises(InputError, match=r"the artifact bundle does not answer .* differ by up to 0\.5 "):
        _export(trained, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_artifact_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be loaded again: .*does not exist"):
        ask_in_fresh_process("bundle", tmp_path / "nowhere", [[1]], greedy_tokens=1)


def test_a_logit_that_is_not_a_number_is_a_difference() -> None:
    ours = Answer(np.zeros((1, 2), np.float32), [1])
    theirs = Answer(np.array([[0, np.nan]], np.float32), [1])
    assert compare([ours], [theirs], [[0]]).largest_difference == float("inf")


def test_parity_counts_equal_continuations_and_the_greatest_difference() -> None:
    zero = np.zeros((1, 2), np.float32)
    ours = [Answer(zero, [1, 2]), Answer(zero, [1, 2])]
    theirs = [Answer(zero + np.float32(0.25), [1, 2]), Answer(zero - np.float32(0.5), [1, 3])]
    parity = compare(ours, theirs, [[0], [1]])
    assert (parity.largest_difference, parity.same_greedy_prompts, parity.num_prompts) == (0.5, 1, 2)


def test_what_an_artifact_loses_is_nats_a_token_of_the_prompts() -> None:
    # Both read 0 1 1: the model gives each 1 a half, the artifact a quarter and a half.
    ours = Answer(np.log(np.array([[1, 1], [1, 1], [9, 9]], np.float32)), [])
    theirs = Answer(np.log(np.array([[3, 1], [1, 1], [1, 9]], np.float32)), [])
    assert compare([ours], [theirs], [[0, 1, 1]]).nats_lost == pytest.approx(np.log(2) / 2)


def test_an_unknown_exporter_is_refused_with_the_names_there_are(trained: Path) -> None:
    with pytest.raises(InputError, match="no exporter is called 'bundel'; did you mean 'bundle'"):
        validate(ExportSection, {"artifacts": ["bundel"], "parity": PARITY}, path="export")
