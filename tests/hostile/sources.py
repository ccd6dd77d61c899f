"""The source `files` as a door: settings in, records or one line out."""

from pathlib import Path
from typing import Any

from lmlab.config import validate
from lmlab.data.source import SPLITS, Record, Source
from lmlab.data.sources import SOURCES
from tests.hostile.watching import attempt

SETTINGS: dict[str, Any] = {
    "name": "files",
    "path": None,
    "splits": None,
    "columns": None,
    "documents": "whole",
    "piece_characters": 100_000,
    "encoding": "utf-8",
    "encoding_errors": "strict",
    "group_by": None,
    # So that two records are enough most of the time.
    "fractions": {"train": 0.4, "validation": 0.3, "test": 0.3},
    "depends_on": None,
}


def source_of(path: Path, **changes: Any) -> Source:
    """The source of a file, folder or glob.

    Raises: InputError where the settings do not fit, or there is none.
    """
    settings = validate(SOURCES.get("files").settings, {**SETTINGS, "path": str(path), **changes}, path="source")
    return SOURCES.get("files").build(settings)


def records_of(path: Path, **changes: Any) -> list[Record]:
    """The records of a file, folder or glob, each of which can be written.

    Raises: InputError where it cannot be read.
    """
    source = source_of(path, **changes)
    assert len(source.digest()) == 64
    found = list(source.records())
    for record in found:
        assert record.split in SPLITS
        assert len(record.values) == len(source.fields)
        for text in record.values:
            assert type(text) is str
            # What no UTF-8 file can hold cannot be written as records either.
            text.encode()
    return found


def written(folder: Path, name: str, content: bytes) -> Path:
    """The file of that name in the folder, whatever stood there before."""
    path = folder / name
    path.write_bytes(content)
    return path


def read_hostile(folder: Path, name: str, content: bytes, **changes: Any) -> list[Record] | None:
    """The records of a file with this content; None where it is refused in one line."""
    path = written(folder, name, content)
    return attempt(lambda: records_of(path, **changes))
