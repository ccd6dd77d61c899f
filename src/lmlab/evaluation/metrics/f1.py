"""F1 of the words of answer and reference, by SQuAD's rules; 0 to 1, higher is better."""

from lmlab.config import Settings
from lmlab.evaluation import squad
from lmlab.evaluation.answers import answers_of, average, scores_to_average
from lmlab.evaluation.metric import Examples, Floats, Metric
from lmlab.evaluation.metrics import METRICS


@METRICS.register(Settings)
def build(*, language: str | None) -> Metric:
    """The mean over records of the best F1 over the references.

    In Chinese and Japanese each character counts as a word.
    """

    def statistics(examples: Examples) -> Floats:
        answers = answers_of(examples)
        return scores_to_average(squad.best_scores(answers, squad.f1, language=language))

    return Metric("texts", "higher", "F1", None, statistics, average)
