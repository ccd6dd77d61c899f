"""The model card of each task: what it calls the model, its headline, and an example that is Python."""

import ast

import pytest

from lmlab.export.card import model_card
from tests.reporting.evaluations import EVALUATIONS, HOSTILE
from tests.reporting.test_report import CLEANING, ENCODING, TRAINING

CONFIG = {"seed": 3, "model": {"name": "lstm", "width": 8}, "training": TRAINING}


def card(task: str, **changes: object) -> str:
    config = CONFIG | {"training": TRAINING | changes}
    return model_card(config, cleaning=CLEANING, encoding=ENCODING, evaluation=EVALUATIONS[task])


def code(task: str) -> str:
    return card(task).split("```python\n")[1].split("\n```\n")[0]


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
def test_the_example_is_python_and_builds_the_prompt_as_the_model_reads_it(task: str) -> None:
    names = {node.id for node in ast.walk(ast.parse(code(task))) if isinstance(node, ast.Name)}
    assert {"prompt", "separator", "sampling"} <= names
    closes = "prompt = [separator, *tokenizer.encode([text])[0], separator]" in code(task)
    assert closes == (task != "language_modeling")
    if closes:
        assert f"\ntext = {HOSTILE!r}\n" in code(task)


def test_metrics_and_baselines_stand_in_one_table() -> None:
    text = card("classification")
    assert "| calibration error (lower is better) | 0.0500 | 0.0400 to 0.0600 |" in text
    assert "| baseline, TF-IDF with logistic regression: accuracy | 0.9050 | 0.8900 to 0.9200 |" in text
    assert "| baseline, the most frequent label: accuracy | 0.1000 |  |" in text


def test_a_model_that_began_from_a_bundle_says_so() -> None:
    assert "trained on from another bundle with lmlab" in card("translation", started_from="abc")
