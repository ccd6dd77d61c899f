"""BLEU: how many runs of one to four words an answer shares with its references; 0 to 100, higher is better."""

from lmlab.config import Settings
from lmlab.evaluation.metric import Metric
from lmlab.evaluation.metrics import METRICS
from lmlab.evaluation.sacre import bleu_scorer, summed_metric

_ORDERS = 4


@METRICS.register(Settings)
def build(*, language: str | None) -> Metric:
    """BLEU of the whole set by sacrebleu, with the words that it recommends for the language.

    Sums: words of the answers and of the nearest references, then right and all runs of one to four words.
    Source: Papineni et al. 2002, BLEU; Post 2018, A Call for Clarity in Reporting BLEU Scores.
    """
    return summed_metric(bleu_scorer(language), label="BLEU", num_sums=2 + 2 * _ORDERS, judges_records=False)
