"""ROUGE-2: how many pairs of neighbouring words an answer shares with its reference; 0 to 1, higher is better."""

from lmlab.config import Settings
from lmlab.evaluation.metric import Metric
from lmlab.evaluation.metrics import METRICS
from lmlab.evaluation.rouge import rouge_metric


@METRICS.register(Settings)
def build(*, language: str | None) -> Metric:
    """The mean over records of the F-measure, the best over the references."""
    return rouge_metric("rouge2", label="ROUGE-2", language=language)
