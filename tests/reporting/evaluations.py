"""Made-up evaluation reports, one for each task, in the shape that the stage evaluate writes."""

from typing import Any

HOSTILE = '</pre><script>alert("x")</script>&amp;{{ 7 * 7 }}\n```\n# heading\ud800'
SAMPLING = {"name": "sampling", "max_new_tokens": 5, "sampling": {"temperature": 0.7, "top_k": 0, "top_p": 0.95}}
GREEDY = {"name": "sampling", "max_new_tokens": 16, "sampling": {"temperature": 0.0, "top_k": 0, "top_p": 1.0}}
BEAM = {"name": "beam", "max_new_tokens": 64, "beams": 4, "length_penalty": 1.0}
GROUPS = [
    {"shortest": 1, "longest": 7, "records": 20, "value": 40.0},
    {"shortest": 8, "longest": 3000, "records": 19, "value": 31.25},
]


def metric(label: str, better: str = "higher", signature: str | None = None) -> dict:
    return {"label": label, "better": better, "signature": signature}


def details(task: str, metrics: dict, baselines: dict, decoding: dict, **more: object) -> dict:
    return {
        "task": task,
        "split": "test",
        "records": 39,
        "documents": 39,
        "tokens": 500,
        "bytes": 2000,
        "reading": "Every document was read whole.",
        "counting": "Separators are counted.",
        "interval": {
            "method": "percentile bootstrap",
            "resampled": "documents",
            "units": 39,
            "resamples": 1000,
            "share": 0.95,
        },
        "metrics": metrics,
        "baselines": baselines,
        "compression": None,
        "decoding": decoding,
        "judged_by": next(iter(metrics)),
        "samples": [],
        "loss_by_position": [],
        "loss_by_length": [],
        "by_prompt_length": GROUPS,
        "by_target_length": GROUPS,
        "best": [example("r1", 1.0), example("r<2>", 0.5)],
        "worst": [example("r3", 0.0)],
        "confusion": None,
        "reliability": [],
        **more,
    }


def example(name: str, score: float) -> dict:
    return {
        "id": name,
        "prompt": "long " * 200 if score == 0 else HOSTILE,
        "references": ["the first", "the second"],
        "answer": "" if score == 0 else "an answer",
        "nats_per_token": 1.234,
        "score": score,
    }


def measured(**values: tuple[float, float, float]) -> dict[str, float]:
    """Each metric with its bounds, as the report has them; `__` stands for the slashes of a baseline's name."""
    flat = {}
    for key, (value, low, high) in values.items():
        name = key.replace("__", "/")
        flat |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return flat


LANGUAGE_MODELING: dict[str, Any] = {
    **measured(bits_per_byte=(1.2345, 1.2, 1.3), perplexity=(33.89, 31.12, 36.8)),
    "baseline/unigram/bits_per_byte": 2.5,
    "baseline/xz_with_training/bits_per_byte": 1.25,
    "details": details(
        "language_modeling",
        {"bits_per_byte": metric("bits per byte", "lower"), "perplexity": metric("perplexity", "lower")},
        {"unigram": "unigram", "xz_with_training": "xz"},
        SAMPLING,
        compression={"training_bytes_used": 2000, "xz_preset": 9, "zstd_level": 19},
        samples=[{"prompt": "", "text": HOSTILE}, {"prompt": HOSTILE, "text": "on"}],
        loss_by_position=[{"first": 0, "last": 0, "tokens": 1, "nats_per_token": 1.0}],
        by_prompt_length=[],
        by_target_length=[],
        best=[],
        worst=[],
    ),
}
TRANSLATION: dict[str, Any] = {
    **measured(bleu=(34.12, 32.0, 36.1), chrf=(55.5, 54.0, 57.0)),
    **measured(baseline__copy_source__bleu=(2.04, 1.5, 2.5), baseline__copy_source__chrf=(9.0, 8.0, 10.0)),
    "details": details(
        "translation",
        {"bleu": metric("BLEU", signature="nrefs:1|case:mixed|tok:13a"), "chrf": metric("chrF")},
        {"copy_source": "copies the source"},
        BEAM,
    ),
}
QUESTION_ANSWERING: dict[str, Any] = {
    **measured(exact_match=(0.4, 0.3, 0.5), f1=(0.61, 0.5, 0.7)),
    **measured(baseline__longest_sentence__exact_match=(0.0, 0.0, 0.0), baseline__longest_sentence__f1=(0.6, 0.5, 0.7)),
    "details": details(
        "question_answering",
        {"exact_match": metric("exact match"), "f1": metric("token F1")},
        {"longest_sentence": "the longest sentence"},
        GREEDY,
    ),
}
SUMMARIZATION: dict[str, Any] = {
    **measured(rouge1=(0.1, 0.08, 0.12), rouge2=(0.02, 0.01, 0.03)),
    **measured(baseline__first_sentence__rouge1=(0.3, 0.28, 0.32), baseline__first_sentence__rouge2=(0.1, 0.0, 0.2)),
    "details": details(
        "summarization",
        {"rouge1": metric("ROUGE-1"), "rouge2": metric("ROUGE-2")},
        {"first_sentence": "the first sentence"},
        BEAM,
    ),
}
CLASSIFICATION: dict[str, Any] = {
    **measured(accuracy=(0.912, 0.9, 0.93), calibration_error=(0.05, 0.04, 0.06)),
    **measured(baseline__tfidf_logistic__accuracy=(0.905, 0.89, 0.92)),
    **measured(baseline__tfidf_logistic__calibration_error=(0.3, 0.2, 0.4)),
    "baseline/most_frequent/accuracy": 0.1,
    "details": details(
        "classification",
        {"accuracy": metric("accuracy"), "calibration_error": metric("calibration error", "lower")},
        {"tfidf_logistic": "TF-IDF with logistic regression", "most_frequent": "the most frequent label"},
        {"name": "ranking"},
        confusion={
            "labels": ["a", "b|c"],
            "pairs": [{"target": "a", "answer": "b|c", "count": 3, "share": 0.125}],
        },
        reliability=[{"low": 0.5, "high": 0.6, "records": 9, "confidence": 0.55, "accuracy": 0.444}],
    ),
}
EVALUATIONS = {
    evaluation["details"]["task"]: evaluation
    for evaluation in (LANGUAGE_MODELING, TRANSLATION, QUESTION_ANSWERING, SUMMARIZATION, CLASSIFICATION)
}
