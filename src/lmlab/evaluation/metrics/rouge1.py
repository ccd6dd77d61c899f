"""ROUGE-1: how many words an answer shares with its reference; 0 to 1, higher is better."""

from lmlab.config import Settings
from lmlab.evaluation.metric import Metric
from lmlab.evaluation.metrics import METRICS
from lmlab.evaluation.rouge import rouge_metric


@METRICS.register(Settings)
def build(*, language: str | None) -> Metric:
    """The mean over records of the F-measure, the best over the references."""
    return rouge_metric("rouge1", label="ROUGE-1", language=language)
