"""Error analysis on numbers small enough to work out by hand, and its plots with hostile text."""

import csv
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from lmlab.evaluation.analysis import (
    ConfusedPair,
    LengthScore,
    ReliabilityBin,
    confusion_matrix,
    extreme_records,
    most_confused,
    record_scores,
    reliability,
    score_by_length,
)
from lmlab.evaluation.intervals import Estimate
from lmlab.evaluation.metric import Examples, Metric, columns
from lmlab.evaluation.plots import (
    write_attention_plot,
    write_baseline_plot,
    write_confusion_plot,
    write_reliability_plot,
    write_score_by_length_plot,
)

SHARE = Metric(
    needs="likelihood",
    better="higher",
    label="share",
    signature=None,
    statistics=lambda examples: columns(examples.correct, examples.tokens),
    value=lambda sums: sums[..., 0] / sums[..., 1],
)
HOSTILE = '</svg><script>alert("x")</script>&\x00\ud800\n'


def examples(correct: list[float], tokens: list[float]) -> Examples:
    zeros = np.zeros(len(tokens))
    return Examples(nats=zeros, tokens=np.array(tokens), bytes=zeros, correct=np.array(correct), answers=None)


def test_a_group_of_lengths_is_measured_by_its_sums() -> None:
    # Lengths 1 and 2: (1 + 1) / (1 + 3); lengths 5 and 9: (0 + 4) / (4 + 4). Means of shares would be other numbers.
    found = score_by_length(SHARE, examples([1, 0, 1, 4], [1, 4, 3, 4]), [1, 9, 2, 5], num_buckets=2)
    assert found == [LengthScore(1, 2, 2, 0.5), LengthScore(5, 9, 2, 0.5)]


def test_equal_lengths_stay_together_and_groups_without_a_value_are_left_out() -> None:
    found = score_by_length(SHARE, examples([1, 1, 1, 0], [1, 1, 2, 0]), [7, 7, 7, 8], num_buckets=3)
    assert found == [LengthScore(7, 7, 3, 0.75)]
    assert score_by_length(SHARE, examples([], []), [], num_buckets=3) == []


def test_a_record_alone_has_its_own_score() -> None:
    scores = record_scores(SHARE, examples([1, 0, 0], [2, 4, 0]))
    assert scores[:2].tolist() == [0.5, 0.0]
    assert np.isnan(scores[2])


def test_confusion_counts_answers_by_target() -> None:
    matrix = confusion_matrix(["a", "a", "a", "b", "c"], ["a", "b", "b", "a", "c"], ["a", "b", "c"])
    assert matrix.tolist() == [[1, 2, 0], [1, 0, 0], [0, 0, 1]]
    assert most_confused(matrix, ["a", "b", "c"], limit=5) == [
        ConfusedPair("a", "b", 2, 2 / 3),
        ConfusedPair("b", "a", 1, 1.0),
    ]


def test_equally_confused_pairs_stand_in_the_order_of_the_labels() -> None:
    matrix = np.array([[0, 1, 1], [1, 0, 2], [0, 1, 0]])
    pairs = most_confused(matrix, ["z", "y", "x"], limit=4)
    assert [(pair.target, pair.answer) for pair in pairs] == [("y", "x"), ("z", "y"), ("z", "x"), ("y", "z")]


@pytest.mark.parametrize(("target", "answer"), [("a", "q"), ("q", "a")])
def test_a_label_that_is_none_is_named(target: str, answer: str) -> None:
    with pytest.raises(ValueError, match="'q' is none of the 1 labels"):
        confusion_matrix([target], [answer], ["a"])


def test_reliability_bins_hold_what_is_above_their_low_bound() -> None:
    # 0.5 stands on the bound of two bins and belongs to the lower one; nothing is at most 0.25.
    found = reliability([0.5, 0.3, 0.9, 1.0 + 1e-12], [True, False, True, True], num_bins=4)
    assert [bin[:3] for bin in found] == [(0.25, 0.5, 2), (0.75, 1.0, 2)]
    assert [bin[3:] for bin in found] == [(pytest.approx(0.4), 0.5), (pytest.approx(0.95), 1.0)]
    assert reliability([0.0], [False], num_bins=4) == [ReliabilityBin(0, 0.25, 1, 0, 0)]


def test_extremes_go_by_score_then_likelihood_then_place() -> None:
    scores, nats = [1.0, 0.0, 1.0, 0.0, 0.5, 1.0], [2.0, 1.0, 1.0, 3.0, 0.0, 2.0]
    assert extreme_records(scores, nats, count=2, better="higher") == ([2, 0], [3, 1])
    assert extreme_records(scores, nats, count=2, better="lower") == ([1, 3], [0, 5])


def test_no_record_is_both_best_and_worst() -> None:
    assert extreme_records([1.0, 2.0, 3.0], [0.0] * 3, count=2, better="higher") == ([2, 1], [0])
    assert extreme_records([1.0, 1.0], [0.0] * 2, count=5, better="higher") == ([0], [1])
    assert extreme_records([], [], count=2, better="higher") == ([], [])


def test_records_without_a_score_are_neither() -> None:
    assert extreme_records([float("nan"), 1.0, float("inf"), 0.0], [0.0] * 4, count=2, better="higher") == ([1], [3])


def texts_of(path: Path) -> list[str]:
    root = ET.fromstring(path.read_text(encoding="utf-8"))
    assert not [element for element in root.iter() if element.tag.endswith("script")]
    return [element.text or "" for element in root.iter() if element.tag.endswith("}text")]


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def test_the_baseline_plot_says_label_and_direction(tmp_path: Path) -> None:
    write_baseline_plot(
        tmp_path,
        "BLEU",
        "higher",
        Estimate(34.12, 32.0, 36.0),
        {"copy_source": Estimate(2.0, 1.5, 2.5), "an_other": 1.0},
        {"copy_source": "copies"},
    )
    texts = texts_of(tmp_path / "baselines.svg")
    assert {"BLEU on the test split (higher is better)", "copies", "an other", "34.1", "2.0"} <= set(texts)
    rows = [
        ["name", "value", "low", "high"],
        ["model", "34.12", "32.0", "36.0"],
        ["copy_source", "2.0", "1.5", "2.5"],
        ["an_other", "1.0", "", ""],
    ]
    assert rows_of(tmp_path / "baselines.csv") == rows


def test_the_length_plot_says_what_is_long_and_what_is_measured(tmp_path: Path) -> None:
    scores = [LengthScore(1, 4, 10, 0.5), LengthScore(5, 2000, 9, 0.25)]
    write_score_by_length_plot(tmp_path, "by_x", scores, title="F1 by length", x_label="F1", y_label="tokens")
    texts = texts_of(tmp_path / "by_x.svg")
    assert texts[:2] == ["F1 by length", "tokens"]
    assert texts[-1] == "F1"
    assert {"1 to 4", "5 to 2,000", "0.500"} <= set(texts)
    assert rows_of(tmp_path / "by_x.csv")[1] == ["1", "4", "10", "0.5"]


def test_few_labels_are_all_drawn(tmp_path: Path) -> None:
    write_confusion_plot(tmp_path, np.array([[3, 1], [0, 2]]), ["a b", HOSTILE])
    texts = texts_of(tmp_path / "confusion.svg")
    assert texts.count("a␣b") == 2
    assert [text for text in texts if text.isdigit()] == ["3", "1", "2"]
    assert len(rows_of(tmp_path / "confusion.csv")) == 4


def test_of_many_labels_those_of_the_most_confused_pairs_are_drawn(tmp_path: Path) -> None:
    matrix = np.diag(np.full(40, 9))
    matrix[7, 31] = 2
    labels = [f"label{number}" for number in range(40)]
    write_confusion_plot(tmp_path, matrix, labels)
    texts = texts_of(tmp_path / "confusion.svg")
    assert texts[0] == "Answers for each label: 2 of 40 labels, those of the most confused pairs"
    assert [text for text in texts if text.startswith("label")] == ["label7", "label31"] * 2
    write_confusion_plot(tmp_path, np.diag(np.full(40, 9)), labels)
    assert texts_of(tmp_path / "confusion.svg")[0] == "Answers for each label: 30 of 40 labels, none was confused"


def test_no_more_than_thirty_labels_are_drawn(tmp_path: Path) -> None:
    labels = [f"label{number}" for number in range(50)]
    write_confusion_plot(tmp_path, np.ones((50, 50), dtype=np.int64), labels)
    assert sum(text.startswith("label") for text in texts_of(tmp_path / "confusion.svg")) == 60


def test_reliability_is_drawn_beside_the_diagonal(tmp_path: Path) -> None:
    write_reliability_plot(tmp_path, [ReliabilityBin(0.5, 0.6, 10, 0.55, 0.5)])
    assert 'class="line reference"' in (tmp_path / "reliability.svg").read_text(encoding="utf-8")
    assert rows_of(tmp_path / "reliability.csv")[1] == ["0.5", "0.6", "10", "0.55", "0.5"]


def test_attention_shows_tokens_that_leave_no_mark_and_hostile_ones(tmp_path: Path) -> None:
    prompt, target = [" a", "\n", "\u202e", "\ud800"], ["</svg>", "b"]
    write_attention_plot(tmp_path, 3, np.full((2, 4), 0.25), prompt, target)
    texts = texts_of(tmp_path / "attention_3.svg")
    assert texts[2:] == ["</svg>", "b", "␣a", "\\n", "\\u202e", "\\ud800"]
    rows = rows_of(tmp_path / "attention_3.csv")
    assert rows[1] == ["0", "</svg>", "0", " a", "0.25"]
    assert rows[-1] == ["1", "b", "3", "\\ud800", "0.25"]


def test_of_long_prompts_the_first_tokens_are_drawn_and_that_is_said(tmp_path: Path) -> None:
    write_attention_plot(tmp_path, 1, np.full((1, 1000), 0.001), ["x"] * 1000, ["y"])
    texts = texts_of(tmp_path / "attention_1.svg")
    assert texts[0] == "Attention over the prompt, example 1: the first 64 of 1,000 prompt tokens"
    assert texts.count("x") == 64
    assert len(rows_of(tmp_path / "attention_1.csv")) == 1001
