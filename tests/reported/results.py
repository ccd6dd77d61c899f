"""A made-up result."""

from lmlab.config import validate
from lmlab.reported.result import ReportedResult

METRIC = {
    "value": 1.5,
    "low": 1.4,
    "high": 1.6,
    "label": "bits per byte",
    "better": "lower",
    "version": 1,
    "is_per_token": False,
    "signature": None,
    "by_seed": [1.5, 1.7],
    "mean": 1.6,
    "deviation": 0.1414,
    "tolerance": 0.2828,
}
RESULT = {
    "name": "docs_lstm",
    "overrides": ["model=lstm", "source.columns={text: body}"],
    "seeds": [1, 2],
    "task": "language_modeling",
    "model": "lstm",
    "metrics": {"bits_per_byte": METRIC},
    "baselines": {
        "xz": {"label": "xz", "metrics": {"bits_per_byte": {"value": 1.8, "low": None, "high": None}}},
        "unigram": {"label": "unigram", "metrics": {"bits_per_byte": {"value": 2.9, "low": None, "high": None}}},
    },
    "parameters": 1_328_512,
    "steps": 10,
    "training_tokens": 20_480,
    "seconds": 12.5,
    "digests": {"test_records": "r" * 64, "tokenizer": "t" * 64, "predictions": "p" * 64, "weights": "w" * 64},
    "machine": "a processor, 2 cores",
    "versions": "python 3.11",
    "commit": None,
}


def result(**changes: object) -> ReportedResult:
    """The made-up result with some fields changed."""
    return validate(ReportedResult, {**RESULT, **changes}, path="result")
