"""The model card of each task: what it calls the model, its headline, and an example that is Python."""

import pytest
import yaml

from lmlab.export.card import Form, example_text, model_card
from tests.reporting.evaluations import EVALUATIONS, HOSTILE
from tests.reporting.test_report import CLEANING, ENCODING, TRAINING

FORM = Form("onnx", "It differs by at most 1e-6.", "Load it like this.", "ab" * 32)
CONFIG = {"seed": 3, "model": {"name": "lstm", "width": 8}, "training": TRAINING}


def card(task: str, **changes: object) -> str:
    config = CONFIG | {"training": TRAINING | changes}
    return model_card(config, cleaning=CLEANING, encoding=ENCODING, evaluation=EVALUATIONS[task], form=FORM)


@pytest.mark.parametrize(
    ("task", "tag", "title", "headline"),
    [
        ("language_modeling", "text-generation", "language model", "bits per byte 1.234"),
        ("translation", "translation", "translation model", "BLEU 34.1"),
        ("question_answering", "question-answering", "question answering model", "exact match 0.400"),
        ("summarization", "summarization", "summarization model", "ROUGE-1 0.100"),
        ("classification", "text-classification", "text classification model", "accuracy 0.912"),
    ],
)
def test_the_card_calls_the_model_by_its_task(task: str, tag: str, title: str, headline: str) -> None:
    text = card(task)
    assert f"\npipeline_tag: {tag}\n" in text
    assert f"\n# lstm {title}\n" in text
    assert f"\n**{headline}** (95 % interval " in text
    assert "trained from scratch" in text


@pytest.mark.parametrize("task", EVALUATIONS)
def test_the_header_is_what_the_hub_reads(task: str) -> None:
    header = yaml.safe_load(card(task).split("---\n")[1])
    assert (header["library_name"], header["tags"]) == ("onnx", ["lmlab", "lstm"])
    [result] = header["model-index"][0]["results"]
    assert result["dataset"]["split"] == "test"
    metrics = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert metrics == {name: EVALUATIONS[task][name] for name in EVALUATIONS[task]["details"]["metrics"]}


def test_the_card_tells_of_its_form_and_of_what_a_reproduction_gives() -> None:
    text = card("translation")
    for part in ("It differs by at most 1e-6.", "Load it like this.", f"SHA-256 `{'ab' * 32}`"):
        assert part in text


def test_the_example_is_a_short_prompt_or_an_opening() -> None:
    assert example_text(EVALUATIONS["language_modeling"]["details"]).startswith("Parameters")
    assert example_text(EVALUATIONS["translation"]["details"]) == HOSTILE[:200]


def test_metrics_and_baselines_stand_in_one_table() -> None:
    text = card("classification")
    assert "| calibration error (lower is better) | 0.0500 | 0.0400 to 0.0600 |" in text
    assert "| baseline, TF-IDF with logistic regression: accuracy | 0.9050 | 0.8900 to 0.9200 |" in text
    assert "| baseline, the most frequent label: accuracy | 0.1000 |  |" in text


@pytest.mark.parametrize(
    ("steps", "origin"), [(0, "a pretrained model as it is"), (9, "a pretrained model, trained on")]
)
def test_a_pretrained_model_is_called_so(steps: int, origin: str) -> None:
    architecture = {"model_type": "t5", "d_model": 64}
    config = CONFIG | {"model": {"name": "pretrained", "architecture": architecture}}
    config["training"] = TRAINING | {"steps": steps, "started_from": "abc"}
    evaluation = EVALUATIONS["translation"]
    text = model_card(config, cleaning=CLEANING, encoding=ENCODING, evaluation=evaluation, form=FORM)
    assert origin in text
    assert "    architecture: t5\n" in text


def test_a_model_that_began_from_a_bundle_says_so() -> None:
    assert "trained on from another bundle with lmlab" in card("translation", started_from="abc")
