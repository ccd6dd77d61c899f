"""The mean over labels of each label's F1, so that rare labels count as much as frequent ones; higher is better."""

import numpy as np

from lmlab.config import Settings
from lmlab.evaluation.answers import answers_of
from lmlab.evaluation.metric import Answers, Examples, Floats, Metric
from lmlab.evaluation.metrics import METRICS


@METRICS.register(Settings)
def build(*, language: str | None) -> Metric:  # noqa: ARG001
    """The mean over the labels that are the target or the answer of a record of the set.

    Sums, for each label: records where it was answered rightly, then how often it was answered or the target, which
    is 2 true positives + false positives + false negatives.
    """
    return Metric("texts", "higher", "macro F1", None, _statistics, _value, judges_records=False)


def _statistics(examples: Examples) -> Floats:
    answers = answers_of(examples)
    targets = [references[0] for references in answers.references]
    number_of = {label: number for number, label in enumerate(_labels(answers, targets))}
    answered = _one_hot([number_of[text] for text in answers.texts], len(number_of))
    expected = _one_hot([number_of[text] for text in targets], len(number_of))
    return np.hstack([answered * expected, answered + expected])


def _labels(answers: Answers, targets: list[str]) -> list[str]:
    # A baseline, or a metric on free text, may answer what is no label.
    others = sorted({*answers.texts, *targets}.difference(answers.labels))
    return [*answers.labels, *others]


def _one_hot(numbers: list[int], width: int) -> Floats:
    rows = np.zeros((len(numbers), width))
    rows[np.arange(len(numbers)), numbers] = 1
    return rows


def _value(sums: Floats) -> Floats:
    right, seen = np.split(sums, 2, axis=-1)
    f1 = np.divide(2 * right, seen, out=np.zeros_like(seen), where=seen > 0)
    return f1.sum(axis=-1) / (seen > 0).sum(axis=-1)
