"""What metrics of answers share: the answers, whether each is right, and a mean over records."""

from collections.abc import Sequence

import numpy as np

from lmlab.evaluation.metric import Answers, Examples, Floats, columns


def answers_of(examples: Examples) -> Answers:
    """The answers, which a metric that needs texts is only asked for where there are some."""
    assert examples.answers is not None, "this metric measures answers, and nothing was answered"
    return examples.answers


def are_right(answers: Answers) -> Floats:
    """1 where the answer equals one of the references in every character, else 0."""
    pairs = zip(answers.texts, answers.references, strict=True)
    return np.array([text in references for text, references in pairs], dtype=np.float64)


def scores_to_average(scores: Floats) -> Floats:
    """The statistics of a mean over records: the sum of scores and the number of records."""
    return columns(scores, np.ones_like(scores))


def average(sums: Floats) -> Floats:
    """The mean of the scores that were summed."""
    return sums[..., 0] / sums[..., 1]


def with_reference_count(signature: str, references: Sequence[Sequence[str]]) -> str:
    """A metric's signature after how many references each record has; `var` where they differ, as in sacrebleu."""
    counts = {len(texts) for texts in references}
    return f"nrefs:{counts.pop() if len(counts) == 1 else 'var'}|{signature}"
