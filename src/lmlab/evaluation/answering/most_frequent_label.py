"""For classification: the label that most training records have."""

from collections import Counter
from collections.abc import Sequence

from lmlab.config import Settings
from lmlab.data.task import TaskSettings
from lmlab.evaluation.answering import ANSWERERS
from lmlab.evaluation.answering_rows import Answered, Answerer, Rows


class _MostFrequentLabel:
    description = "most frequent label"

    def answer(self, train: Rows, test: Rows, task: TaskSettings, labels: Sequence[str]) -> Answered:  # noqa: ARG002
        counts = Counter(train.targets(task))
        most_frequent = min(counts, key=lambda label: (-counts[label], label))
        return Answered([most_frequent for _ in test.targets(task)], None)


@ANSWERERS.register(Settings)
def build() -> Answerer:
    """Answers with the most frequent target of the training records, the first by the alphabet of equals."""
    return _MostFrequentLabel()
