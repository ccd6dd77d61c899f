"""The share of answers that equal a reference, by SQuAD's rules; 0 to 1, higher is better."""

from lmlab.config import Settings
from lmlab.evaluation import squad
from lmlab.evaluation.answers import answers_of, average, scores_to_average
from lmlab.evaluation.metric import Examples, Floats, Metric
from lmlab.evaluation.metrics import METRICS


@METRICS.register(Settings)
def build(*, language: str | None) -> Metric:
    """The share of records whose answer equals one of the references but for case, punctuation and articles."""

    def statistics(examples: Examples) -> Floats:
        answers = answers_of(examples)
        return scores_to_average(squad.best_scores(answers, squad.exact_match, language=language))

    return Metric("texts", "higher", "exact match", None, statistics, average)
