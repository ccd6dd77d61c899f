"""ROUGE-L: how much of answer and reference their longest common sequence of words covers; 0 to 1, higher is better."""
# ruff: noqa: N999 (the metric is written so everywhere)

from lmlab.config import Settings
from lmlab.evaluation.metric import Metric
from lmlab.evaluation.metrics import METRICS
from lmlab.evaluation.rouge import rouge_metric


@METRICS.register(Settings)
def build(*, language: str | None) -> Metric:
    """The mean over records of the F-measure, the best over the references."""
    return rouge_metric("rougeL", label="ROUGE-L", language=language)
