"""For question answering: the sentence of the context that has most words of the question."""

from collections.abc import Sequence

from lmlab.config import Settings
from lmlab.data.task import TaskSettings
from lmlab.evaluation.answering import ANSWERERS
from lmlab.evaluation.answering_rows import Answered, Answerer, Rows
from lmlab.evaluation.sentences import sentences
from lmlab.evaluation.words import words

_NAME = "first_matching_sentence"


class _FirstMatchingSentence:
    description = "first sentence that matches the question"

    def answer(self, train: Rows, test: Rows, task: TaskSettings, labels: Sequence[str]) -> Answered:  # noqa: ARG002
        questions, contexts = (test.field(field, baseline=_NAME) for field in ("question", "context"))
        pairs = zip(questions, contexts, strict=True)
        return Answered([_match(question, context, task.language) for question, context in pairs], None)


def _match(question: str, context: str, language: str | None) -> str:
    asked = set(words(question.lower(), language=language))

    def num_shared(sentence: str) -> int:
        return len(asked.intersection(words(sentence.lower(), language=language)))

    return max(sentences(context), key=num_shared, default="")


@ANSWERERS.register(Settings)
def build() -> Answerer:
    """Answers with the sentence of `context` that shares most different words with `question`, the first of equals."""
    return _FirstMatchingSentence()
