"""A reported result: reports/results/NAME.yaml, with the predictions of its first seed beside it as NAME.parquet.

Predictions hold the references, which are text of the test split; of data that may not be given away none are kept.

The file is written by a command only. Its last line is the digest of all that stands above, so that a number changed
by hand is found, whichever it is.
"""

import hashlib
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from lmlab.config import Settings, read_params, validate
from lmlab.errors import InputError
from lmlab.files import whole_file

FOLDER = Path("reports/results")
SEAL = "seal: "
DEVIATIONS = 2
# Rounding alone, carried on by a whole training on another machine, has moved results by 0.1 %.
LEAST_SHARE = 0.005


class ReportedScore(Settings):
    """A number with its 95 % interval; bounds are null where there is none."""

    value: float
    low: float | None
    high: float | None


class ReportedMetric(ReportedScore):
    """A metric on the test split: value and interval of the first seed, and what the other seeds gave."""

    label: str
    better: Literal["higher", "lower"]
    version: int
    is_per_token: bool
    signature: str | None
    by_seed: list[float] = Field(min_length=1)
    mean: float
    deviation: float | None
    """Sample standard deviation over seeds; null with one seed."""
    tolerance: float
    """How far another training with the same settings may be from the value."""


class ReportedBaseline(Settings):
    """What a baseline reached on the same test split."""

    label: str
    metrics: dict[str, ReportedScore]


class Digests(Settings):
    """SHA-256 of the files that the numbers hold for; predictions and weights are those of the first seed."""

    test_records: str
    tokenizer: str
    predictions: str | None
    """Null where they are not kept."""
    weights: str


class ReportedResult(Settings):
    """A reported result."""

    name: str
    overrides: list[str]
    """What `pipelines.run` is given, but for the seed."""
    seeds: list[int] = Field(min_length=1)
    task: str
    model: str
    metrics: dict[str, ReportedMetric] = Field(min_length=1)
    """The first is the headline."""
    baselines: dict[str, ReportedBaseline]
    parameters: int
    steps: int
    training_tokens: int
    seconds: float | None
    """Wall time of the first seed's training on `machine`; null where it was not tracked."""
    digests: Digests
    machine: str
    versions: str
    commit: str | None
    """The git commit that it was recorded at, `-dirty` behind it where files differed from it."""


def tolerance_of(by_seed: Sequence[float], *, low: float, high: float) -> float:
    """How far a training again may be off: two standard deviations over seeds, half the interval where one was tried.

    Not less than half a percent of the value: the deviation over few seeds may be small by chance.
    """
    spread = DEVIATIONS * statistics.stdev(by_seed) if len(by_seed) > 1 else (high - low) / 2
    return max(spread, LEAST_SHARE * abs(by_seed[0]))


def result_path(project: Path, name: str) -> Path:
    """Where the result of that name stands."""
    return project / FOLDER / f"{name}.yaml"


def predictions_path(project: Path, name: str) -> Path:
    """Where the kept predictions of the result of that name stand."""
    return project / FOLDER / f"{name}.parquet"


def result_names(project: Path) -> list[str]:
    """The names of all reported results, sorted."""
    return sorted(path.stem for path in (project / FOLDER).glob("*.yaml"))


def write_result(path: Path, result: ReportedResult) -> None:
    """Write the file with its seal."""
    head = "# Written by `python -m pipelines.record`, never by hand; `python -m pipelines.verify` checks it.\n"
    body = yaml.safe_dump(result.model_dump(), sort_keys=False, allow_unicode=True, width=120)
    with whole_file(path) as partial:
        partial.write_text(f"{head}{body}{SEAL}{_digest(head + body)}\n", encoding="utf-8")


def read_result(path: Path) -> ReportedResult:
    """The result in a file.

    Raises: InputError if the file is missing or holds something else.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: write it with `python -m pipelines.record {path.stem} ...`")
    values = {key: value for key, value in read_params(path).items() if key != SEAL.rstrip(": ")}
    result = validate(ReportedResult, values, path=str(path))
    if result.name != path.stem:
        # Other files are found by that name.
        raise InputError(f"{path}: name: must be {path.stem}, as the file is called, found {result.name}")
    return result


def is_sealed(path: Path) -> bool:
    """Whether the file holds what was written."""
    body, _, seal = path.read_text(encoding="utf-8").rpartition(SEAL)
    return seal.strip() == _digest(body)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
