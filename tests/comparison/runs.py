"""Made-up runs with their evaluation reports."""

from lmlab.comparison.rows import Evaluated
from lmlab.tracking.reading import RunRecord

METRICS = {
    "bits_per_byte": {
        "label": "bits per byte",
        "better": "lower",
        "version": 1,
        "is_per_token": False,
        "signature": None,
    },
    "perplexity": {"label": "perplexity", "better": "lower", "version": 1, "is_per_token": True, "signature": None},
}


def record(name: str, *, state: str = "FINISHED", metrics: dict | None = None, **params: str) -> RunRecord:
    """A run with these parameters, whose keys have _ for a dot."""
    dotted = {key.replace("_", ".", 1): value for key, value in params.items()}
    numbers = {"parameters": 1000.0, "training/tokens": 50.0, **(metrics or {})}
    return RunRecord(f"id of {name}", name, state, len(name), dotted, numbers, {})


def evaluated(name: str, value: float, *, details: dict | None = None, metrics: dict | None = None, **params: str):
    """A finished run that reached this value in both metrics, each with an interval of 0.1 around it."""
    numbers = {
        f"{metric}{bound}": value + shift
        for metric in METRICS
        for bound, shift in (("", 0.0), ("_low", -0.1), ("_high", 0.1))
    }
    said = {
        "task": "language_modeling",
        "records": 3,
        "test_digest": "test one",
        "tokenizer_digest": "tokens one",
        "metrics": METRICS,
        **(details or {}),
    }
    return Evaluated(record(name, metrics=metrics, **params), {**numbers, "details": said})
