"""What tests of sources and cleaning share: the project's own settings, changed; sources of a few records; results."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest

from lmlab.config import PartSettings, read_params, validate
from lmlab.data.clean import CleanInputs, CleanOutputs, CleanSettings, clean
from lmlab.data.cleaning.settings import CleaningSettings
from lmlab.data.source import SPLITS, Record, Source
from lmlab.data.sources import SOURCES
from lmlab.run import Run
from lmlab.runtime import RuntimeSettings
from tests.corpus import runtime_settings

PROJECT = Path(__file__).parents[2]
SHARED = PROJECT.parent / "shared" / "data"


def shared(name: str) -> Path:
    """A file of the shared data sets; skips the test where they are absent."""
    if not (SHARED / name).exists():
        pytest.skip(f"needs ../shared/data/{name}")
    return SHARED / name


def source_settings(name: str, **values: object) -> PartSettings:
    """conf/source/NAME.yaml with these values instead."""
    section = {**read_params(PROJECT / "conf" / "source" / f"{name}.yaml"), **values}
    return validate(SOURCES.get(name).settings, section, path="source")


def build_source(name: str, **values: object) -> Source:
    """The source of conf/source/NAME.yaml with these values instead."""
    return SOURCES.get(name).build(source_settings(name, **values))


def cleaning_settings(**rules: Mapping[str, object]) -> CleaningSettings:
    """conf/cleaning/default.yaml with these values of rules instead."""
    section = read_params(PROJECT / "conf" / "cleaning" / "default.yaml")
    for name, values in rules.items():
        section[name] = {**section[name], **values}
    return validate(CleaningSettings, section, path="cleaning")


def values_of(source: Source) -> dict[str, list[tuple[str, ...]]]:
    """The values of every record, by split."""
    found: dict[str, list[tuple[str, ...]]] = {split: [] for split in SPLITS}
    for record in source.records():
        found[record.split].append(record.values)
    return found


class Cleaned(NamedTuple):
    """What the stage clean wrote."""

    report: dict
    records: Path
    report_path: Path

    def column(self, split: str, name: str = "text") -> list:
        """A column of the cleaned records."""
        return pq.read_table(self.records / f"{split}.parquet")[name].to_pylist()

    def rule(self, name: str) -> dict:
        """What the report says of a rule."""
        return next(rule for rule in self.report["rules"] if rule["name"] == name)


def run_clean(
    folder: Path,
    source: PartSettings,
    cleaning: CleaningSettings,
    *,
    threads: int = 1,
    runtime: RuntimeSettings | None = None,
) -> Cleaned:
    """Run the stage clean into a folder, in so many processes, or as `runtime` says."""
    runtime = runtime or runtime_settings(threads=threads)
    outputs = CleanOutputs(folder / "records", folder / "cleaning.json")
    report = clean(CleanSettings(source, cleaning, runtime), CleanInputs(), outputs, Run())
    return Cleaned(report, outputs.records, outputs.cleaning)


def clean_splits(folder: Path, splits: dict[str, list[str]], cleaning: CleaningSettings) -> Cleaned:
    """Run the stage clean on these texts, one a line of a file for each split."""
    folder.mkdir(exist_ok=True)
    for split, texts in splits.items():
        (folder / f"{split}.txt").write_text("".join(text + "\n" for text in texts), encoding="utf-8", newline="\n")
    paths = {split: str(folder / f"{split}.txt") for split in splits}
    return run_clean(folder, source_settings("files", path=None, splits=paths, documents="lines"), cleaning)


def records(texts: list[str], *, split: str = "train", document: int | None = None) -> Iterator[Record]:
    """Records with one field, of documents of their own or all pieces of one."""
    for number, text in enumerate(texts):
        yield Record(split, f"r:{number}", number if document is None else document, (text,))
