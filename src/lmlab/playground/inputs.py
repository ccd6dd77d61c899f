"""Inputs to try: the example that a model was logged with, or records of the project's test split."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmlab.applying.applier import Applier

RECORDS = "data/records/test.parquet"
LOGGED = "input_example.json"
"""What MLflow keeps beside a logged model."""
MOST_CHARACTERS = 300
OPENING_WORDS = 4
NUM_SHOWN, LOOKED_AT = 4, 200

Record = Mapping[str, str]


def examples_for(applier: "Applier", folder: Path, *, records: Path | None) -> list[Record]:
    """A few inputs for the model in this folder; `records` are test records of its own source, if there are any."""
    found = _logged(folder) if records is None else _test_records(records, applier)
    return [record for record in found if _fits(record, applier.fields)][:NUM_SHOWN]


def _fits(record: Record, fields: Sequence[str]) -> bool:
    return set(record) == set(fields) and all(isinstance(text, str) and text.strip() for text in record.values())


def _logged(folder: Path) -> list[Record]:
    """The rows of the file that MLflow wrote beside the model."""
    for parent in folder.parents[:2]:
        try:
            table = json.loads((parent / LOGGED).read_text(encoding="utf-8"))
            return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
    return []


def _test_records(path: Path, applier: "Applier") -> list[Record]:
    """Short ones of the first records, spread evenly; for a task without a prompt the first words of each."""
    import pyarrow.parquet as pq

    if not path.is_file():
        return []
    with pq.ParquetFile(path) as table:
        if not set(applier.fields) <= set(table.schema_arrow.names):
            return []
        batches = table.iter_batches(batch_size=LOOKED_AT, columns=applier.fields)
        rows = [dict(row) for row in next(batches).to_pylist()] if table.metadata.num_rows else []
    rows = [row for row in rows if _fits(row, applier.fields)]
    if not applier.task.prompt:
        return _spread([{name: " ".join(text.split()[:OPENING_WORDS]) for name, text in row.items()} for row in rows])
    return _spread([row for row in rows if sum(map(len, row.values())) <= MOST_CHARACTERS])


def _spread(rows: Sequence[Record]) -> list[Record]:
    count = min(NUM_SHOWN, len(rows))
    return [rows[number * len(rows) // count] for number in range(count)]
