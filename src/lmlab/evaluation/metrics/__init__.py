"""The metrics by name. A module here is a metric: it registers a function that returns its `Metric`.

A task's YAML lists the names of its metrics.
"""

from lmlab.registry import Registry

METRICS = Registry("metric", __name__)
