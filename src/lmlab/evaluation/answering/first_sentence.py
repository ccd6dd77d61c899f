"""For summarization: the first sentence of the document."""

from collections.abc import Sequence

from lmlab.config import Settings
from lmlab.data.task import TaskSettings
from lmlab.evaluation.answering import ANSWERERS
from lmlab.evaluation.answering_rows import Answered, Answerer, Rows
from lmlab.evaluation.sentences import sentences


class _FirstSentence:
    description = "first sentence"

    def answer(self, train: Rows, test: Rows, task: TaskSettings, labels: Sequence[str]) -> Answered:  # noqa: ARG002
        documents = test.field("document", baseline="first_sentence")
        return Answered([next(iter(sentences(document)), "") for document in documents], None)


@ANSWERERS.register(Settings)
def build() -> Answerer:
    """Answers with the first sentence of the field `document`; a document without text gives an empty answer."""
    return _FirstSentence()
