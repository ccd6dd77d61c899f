"""Every form that a model can take: it answers as the model does, and the card beside it says how to load it."""

import json
import re
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from lmlab.bundle import load_bundle
from lmlab.config import validate
from lmlab.errors import InputError
from lmlab.export.export import ExportInputs, ExportOutputs, ExportSettings, export
from lmlab.export.exporters import EXPORTERS
from lmlab.export.settings import ExportSettings as ExportSection
from lmlab.files import read_json, write_seal
from lmlab.run import Run
from tests.applying.tiny_bundles import tiny_bundle
from tests.corpus import COPYING, encoded_corpus
from tests.reporting.evaluations import EVALUATIONS, HOSTILE
from tests.reporting.test_report import CLEANING, ENCODING, TRAINING


class Watched(Run):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        assert step == 0
        self.metrics.update(metrics)


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoded")
    encoded_corpus(folder, task=COPYING)
    for name, report in (("cleaning", CLEANING), ("encoding", ENCODING)):
        (folder / f"{name}.json").write_text(json.dumps(report))
    return folder


def _export(
    encoded: Path, folder: Path, *, task: str, model: str, artifacts: list[str] | None, run: Run | None = None
) -> dict:
    bundle = tiny_bundle(folder / "bundle", task, model=model)
    config = read_json(bundle / "config.json") | {"training": TRAINING}
    (bundle / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_seal(bundle, {"stage": "train"})
    (folder / "evaluation.json").write_text(json.dumps(EVALUATIONS[task]))
    parity = {"num_prompts": 3, "prompt_tokens": 20, "greedy_tokens": 16, "largest_difference": 1e-4}
    section = validate(ExportSection, {"artifacts": artifacts, "parity": parity}, path="export")
    inputs = ExportInputs(
        bundle, encoded / "tokens", encoded / "cleaning.json", encoded / "encoding.json", folder / "evaluation.json"
    )
    return export(
        ExportSettings(section), inputs, ExportOutputs(folder / "export", folder / "export.json"), run or Run()
    )


@pytest.mark.slow
def test_without_a_choice_a_model_takes_every_exact_form_it_can(encoded: Path, tmp_path: Path) -> None:
    run = Watched()
    report = _export(encoded, tmp_path, task="translation", model="transformer", artifacts=None, run=run)
    assert [artifact["name"] for artifact in report["artifacts"]] == ["bundle", "gguf", "hf", "onnx"]
    for artifact in report["artifacts"]:
        assert artifact["largest_difference"] < 1e-4
        assert artifact["same_greedy_tokens"] == 3
        assert abs(artifact["nats_lost"]) < 1e-5
        assert artifact["is_exact"]
        for measured in ("megabytes", "load_seconds", "tokens_per_second"):
            assert run.metrics[f"export/{artifact['name']}_{measured}"] > 0
        card = (tmp_path / "export" / artifact["name"] / "README.md").read_text(encoding="utf-8")
        assert "asked 3 prompts of the test split" in card
        assert "3 of them go on with the same 16 tokens" in card
        assert EXPORTERS.get(artifact["name"]).build().usage(load_bundle(tmp_path / "bundle"), HOSTILE[:200]) in card
    # What differs from run to run stays out of the files.
    assert "seconds" not in (tmp_path / "export.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", ["bundle", "hf", "onnx", "onnx_int8"])
@pytest.mark.parametrize(
    ("model", "task"), [("transformer", "translation"), ("lstm", "language_modeling"), ("gru", "classification")]
)
def test_what_the_card_shows_runs_as_it_stands(model: str, task: str, form: str, tmp_path: Path) -> None:
    bundle, exporter = load_bundle(tiny_bundle(tmp_path / "trained", task, model=model)), EXPORTERS.get(form).build()
    folder = tmp_path / form
    folder.mkdir()
    exporter.write(tmp_path / "trained", folder)
    code = re.search(r"```python\n(.*?)\n```", exporter.usage(bundle, "the cat "), re.DOTALL)
    assert code is not None
    printed = StringIO()
    with redirect_stdout(printed):
        exec(compile(code.group(1).replace("FOLDER", str(folder)), form, "exec"), {})
    assert printed.getvalue().endswith("\n")


def test_int8_is_smaller_and_says_what_it_loses(encoded: Path, tmp_path: Path) -> None:
    report = _export(encoded, tmp_path, task="language_modeling", model="transformer", artifacts=["onnx", "onnx_int8"])
    exact, rough = report["artifacts"]
    assert not rough["is_exact"]
    assert rough["largest_difference"] > 1e-3 > exact["largest_difference"]
    assert 0 < abs(rough["nats_lost"]) < 0.2
    graphs = [(tmp_path / "export" / name / "model.onnx").stat().st_size for name in ("onnx", "onnx_int8")]
    assert graphs[1] < graphs[0]
    card = (tmp_path / "export" / "onnx_int8" / "README.md").read_text(encoding="utf-8")
    assert f"{rough['nats_lost']:+.4f} nats a token" in card


def test_a_form_that_a_model_cannot_take_is_refused_when_it_is_asked_for(encoded: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gguf is for Transformers: .* lstm: leave gguf out"):
        _export(encoded, tmp_path, task="language_modeling", model="lstm", artifacts=["bundle", "gguf"])
    assert not (tmp_path / "export").exists()
    load_bundle(tmp_path / "bundle")
