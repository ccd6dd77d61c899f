"""The predictions on a split: one row a record, enough to compute every metric and its interval again."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lmlab.errors import InputError
from lmlab.evaluation.metric import Answers, Examples
from lmlab.files import whole_file

_COUNTS = ("tokens", "bytes", "correct")
_LABELS = b"lmlab.labels"


class Predictions(NamedTuple):
    """What a model made of each record of a split, in the split's order."""

    examples: Examples
    ids: list[str]
    documents: NDArray[np.int64]
    """Neighbours with the same number are pieces of one document."""


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write the predictions as parquet; the labels that were chosen from stand in the schema's metadata."""
    examples, answers = predictions.examples, predictions.examples.answers
    columns: dict[str, pa.Array | NDArray] = {
        "id": pa.array(predictions.ids, pa.string()),
        "document": predictions.documents,
        "nats": examples.nats,
        **{name: getattr(examples, name).astype(np.int64) for name in _COUNTS},
    }
    if answers is not None:
        columns["answer"] = pa.array(list(answers.texts), pa.string())
        columns["references"] = pa.array([list(right) for right in answers.references], pa.list_(pa.string()))
        if answers.confidence is not None:
            columns["confidence"] = answers.confidence
    labels = list(answers.labels) if answers is not None else []
    table = pa.table(columns).replace_schema_metadata({_LABELS: json.dumps(labels, ensure_ascii=False)})
    with whole_file(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def read_predictions(path: Path) -> Predictions:
    """The predictions of a file as `write_predictions` wrote it.

    Raises: InputError if the file is missing or holds something else.
    """
    try:
        table = pq.read_table(path)
        labels = json.loads((table.schema.metadata or {})[_LABELS])
        _check_types(table, labels)
        counts = {name: table[name].to_numpy().astype(np.float64) for name in _COUNTS}
        nats, documents = table["nats"].to_numpy(), table["document"].to_numpy()
        return Predictions(
            Examples(nats=nats, **counts, answers=_answers(table, labels)), table["id"].to_pylist(), documents
        )
    except (OSError, pa.ArrowException, KeyError, ValueError, RecursionError) as error:
        raise InputError(f"{path} holds no predictions ({error}): evaluate the model again") from None


def _check_types(table: pa.Table, labels: object) -> None:
    """Raise ValueError if the columns are not those that `write_predictions` writes."""
    wanted = {"id": pa.string(), "document": pa.int64(), "nats": pa.float64(), **dict.fromkeys(_COUNTS, pa.int64())}
    if "answer" in table.column_names:
        wanted |= {"answer": pa.string(), "references": pa.list_(pa.string())}
    if "confidence" in table.column_names:
        wanted["confidence"] = pa.float64()
    for name, kind in wanted.items():
        # By the kind alone: a list's inner name is parquet's own.
        if not table[name].type.equals(kind) or table[name].null_count:
            raise ValueError(f"the column {name} is not all {kind}")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError("the labels are no texts")


def _answers(table: pa.Table, labels: list[str]) -> Answers | None:
    if "answer" not in table.column_names:
        return None
    confidence = table["confidence"].to_numpy() if "confidence" in table.column_names else None
    return Answers(table["answer"].to_pylist(), table["references"].to_pylist(), labels, confidence)
