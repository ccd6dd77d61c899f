"""The saved view `lmlab` of MLflow's UI: what tells runs apart as columns, the result as the first charts.

MLflow keeps a saved view as a tag of the experiment, packed as its page in the browser packs it (seen in
MLflow 3.17). Where another version packs it otherwise, the page shows its own defaults.
"""

import base64
import json
import time
import zlib

VIEW_NAME = "lmlab"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW_NAME}"

_METRICS = ("bits_per_byte", "bits_per_byte_low", "bits_per_byte_high", "parameters")
_PARAMS = ("model.name", "seed", "training.learning_rate", "source.name", "tokenizer.name")
_BASELINES = ("unigram", "xz", "zstd", "xz_with_training", "zstd_with_training")
_SECTIONS = {
    "Test bits per byte, with its 95 % interval": [("BAR", metric) for metric in _METRICS],
    "Curves": [
        ("LINE", "validation_bits_per_byte"),
        ("LINE", "train_nats_per_token"),
        ("LINE", "learning_rate"),
        ("LINE", "tokens_per_second"),
    ],
    "Baselines": [("BAR", f"baseline/{name}/bits_per_byte") for name in _BASELINES],
}
_LINE = {
    "lineSmoothness": 0,
    "xAxisScaleType": "linear",
    "scaleType": "linear",
    "range": {},
    "xAxisKey": "metric",
    "selectedXAxisMetricKey": "tokens",
    "yAxisKey": "metric",
    "yAxisExpressions": [],
    "ignoreOutliers": False,
    "useGlobalXaxisKey": True,
    "useGlobalLineSmoothing": True,
}


def view_path(experiment_id: str) -> str:
    """The view's path below the UI's address."""
    return f"/#/experiments/{experiment_id}/runs?viewStateShareKey={VIEW_NAME}&workflowType=machine_learning"


def saved_view() -> str:
    """The value of the view's tag."""
    packed = base64.b64encode(zlib.compress(json.dumps(_state()).encode())).decode()
    now = time.time_ns() // 1_000_000
    return json.dumps({"name": VIEW_NAME, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"})


def _state() -> dict[str, object]:
    return {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": _columns(),
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "FIRST_10_RUNS",
        "compareRunCharts": _charts(),
        "compareRunSections": _sections(),
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "globalLineChartConfig": {"xAxisKey": "metric", "lineSmoothness": 0, "selectedXAxisMetricKey": "tokens"},
    }


def _columns() -> list[str]:
    metrics = [f"metrics.`{key}`" for key in _METRICS]
    return [*metrics, *(f"params.`{key}`" for key in _PARAMS), "attributes.`Dataset`", "attributes.`Models`"]


def _charts() -> list[dict[str, object]]:
    return [
        {
            "uuid": f"lmlab-{metric}",
            "type": kind,
            "runsCountToCompare": 10,
            "metricSectionId": f"lmlab-{section}",
            "deleted": False,
            "isGenerated": True,
            "displayName": metric,
            "metricKey": metric,
            **(_LINE if kind == "LINE" else {}),
        }
        for section, charts in _SECTIONS.items()
        for kind, metric in charts
    ]


def _sections() -> list[dict[str, object]]:
    # MLflow looks for its own last two by name, and puts what no section has into the first of them.
    own = [(f"lmlab-{name}", name, True) for name in _SECTIONS]
    rest = [("lmlab-rest", "Model metrics", False), ("lmlab-system", "System metrics", False)]
    return [
        {"uuid": uuid, "name": name, "display": shown, "isReordered": True, "deleted": False, "isGenerated": not shown}
        for uuid, name, shown in own + rest
    ]
