"""The metrics that a task's settings name, held against what the task can be measured by."""

from lmlab.data.task import TaskSettings
from lmlab.errors import InputError
from lmlab.evaluation.answering import ANSWERERS
from lmlab.evaluation.metric import Metric
from lmlab.evaluation.metrics import METRICS
from lmlab.text import nearest

UNIGRAM, COMPRESSION = "unigram", "compression"
LIKELIHOOD = (UNIGRAM, COMPRESSION)
"""The baselines that need no prompt: they give the text a probability."""


def task_metrics(task: TaskSettings) -> dict[str, Metric]:
    """The task's metrics by name, in its order.

    Raises: InputError if one of them, or a baseline, is unknown or cannot be had of this task.
    """
    for name in task.metrics:
        if name not in METRICS.names():
            raise InputError(f"task.metrics: no metric is called '{name}'; {nearest(name, METRICS.names())}")
    for name in task.baselines:
        known = [*LIKELIHOOD, *ANSWERERS.names()]
        if name not in known:
            raise InputError(f"task.baselines: no baseline is called '{name}'; {nearest(name, known)}")
        if name not in LIKELIHOOD and not task.prompt:
            raise InputError(f"task.baselines: {name} answers prompts, and task {task.name} has none")
    metrics = {name: METRICS.get(name).build(language=task.language) for name in task.metrics}
    for name, metric in metrics.items():
        if metric.needs != "likelihood" and not task.prompt:
            raise InputError(f"task.metrics: {name} measures answers, and task {task.name} has no prompt to answer")
        if metric.needs == "confidence" and task.decoding.name != "ranking":
            raise InputError(f"task.metrics: {name} needs probabilities of answers, which decoding.name=ranking gives")
    return metrics
