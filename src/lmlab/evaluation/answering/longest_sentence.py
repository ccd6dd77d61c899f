"""For question answering: the longest sentence of the context, whatever the question."""

from collections.abc import Sequence

from lmlab.config import Settings
from lmlab.data.task import TaskSettings
from lmlab.evaluation.answering import ANSWERERS
from lmlab.evaluation.answering_rows import Answered, Answerer, Rows
from lmlab.evaluation.sentences import sentences


class _LongestSentence:
    description = "longest sentence"

    def answer(self, train: Rows, test: Rows, task: TaskSettings, labels: Sequence[str]) -> Answered:  # noqa: ARG002
        contexts = test.field("context", baseline="longest_sentence")
        return Answered([max(sentences(context), key=len, default="") for context in contexts], None)


@ANSWERERS.register(Settings)
def build() -> Answerer:
    """Answers with the sentence of the field `context` that has most characters, the first of equals."""
    return _LongestSentence()
