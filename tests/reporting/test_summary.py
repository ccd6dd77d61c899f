"""What a terminal shows of an evaluation, for each task."""

import pytest

from lmlab.reporting.summary import render_summary
from lmlab.results import decoding_text, measures_of
from tests.reporting.evaluations import BEAM, CLASSIFICATION, EVALUATIONS, GREEDY, LANGUAGE_MODELING, SAMPLING
from tests.reporting.evaluations import SUMMARIZATION as WORSE


def test_the_headline_comes_first_then_the_other_metrics_then_the_baselines() -> None:
    assert render_summary(LANGUAGE_MODELING).splitlines() == [
        "bits per byte on the test split (lower is better)",
        "  the model                      1.234  (95 % interval 1.200 to 1.300)",
        "  perplexity (lower is better)    33.9  (95 % interval 31.1 to 36.8)",
        "baselines, bits per byte",
        "  unigram over tokens            2.500",
        "  xz, after the training text    1.250",
    ]


def test_each_metric_says_its_own_direction_and_baselines_their_intervals() -> None:
    assert render_summary(CLASSIFICATION).splitlines() == [
        "accuracy on the test split (higher is better)",
        "  the model                           0.912  (95 % interval 0.900 to 0.930)",
        "  calibration error (lower is better) 0.050  (95 % interval 0.040 to 0.060)",
        "baselines, accuracy",
        "  TF-IDF with logistic regression     0.905  (95 % interval 0.890 to 0.920)",
        "  the most frequent label             0.100",
    ]


def test_scores_out_of_a_hundred_get_one_place() -> None:
    lines = render_summary(EVALUATIONS["translation"]).splitlines()
    assert lines[1] == "  the model                      34.1  (95 % interval 32.0 to 36.1)"
    assert lines[-1] == "  copies the source               2.0  (95 % interval 1.5 to 2.5)"


def test_a_task_without_baselines_has_none_in_its_summary() -> None:
    evaluation = {key: value for key, value in CLASSIFICATION.items() if not key.startswith("baseline/")}
    assert len(render_summary(evaluation).splitlines()) == 3


@pytest.mark.parametrize(
    ("task", "baseline", "verdict"),
    [
        ("language_modeling", "unigram", "the model is better"),
        ("language_modeling", "xz_with_training", "within the intervals"),
        ("translation", "copy_source", "the model is better"),
        ("classification", "tfidf_logistic", "within the intervals"),
        ("summarization", "first_sentence", "the model is worse"),
    ],
)
def test_a_baseline_is_beaten_where_the_intervals_do_not_meet(task: str, baseline: str, verdict: str) -> None:
    assert measures_of(EVALUATIONS[task])[0].verdict(baseline) == verdict
    assert measures_of(WORSE)[0].hint == "higher is better"


def test_how_answers_are_found_is_said_in_words() -> None:
    assert decoding_text({"name": "ranking"}) == "by taking the likeliest of the labels"
    assert decoding_text(BEAM) == "by beam search with 4 beams, length penalty 1, at most 64 tokens"
    assert decoding_text(GREEDY) == "by taking the likeliest token each time, at most 16 tokens"
    assert decoding_text(SAMPLING) == "by sampling with temperature 0.7, top k 0, top p 0.95, at most 5 tokens"
