"""Reproduce reported results: expected, got, tolerance and verdict of each number; exit code 1 where one misses.

A level that is asked for and cannot be done for a result is said, and is a miss where the result was named or drawn, or
where it could be done for none.

Levels:
  score     the kept predictions scored again, exactly; of some data none may be kept
  evaluate  the bundle evaluated again, where this project holds it: from `make repro`, or in work/
  train     everything from the source on, within the tolerance of the result's file

Examples:
  python -m pipelines.verify language_docs_transformer --level train
  python -m pipelines.verify --level train --sample 3
"""

import random
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lmlab.bundle import WEIGHTS_NAME
from lmlab.config import read_params
from lmlab.errors import InputError
from lmlab.files import file_digest, read_json
from lmlab.reported.checking import Check, check_evaluation, check_file, check_scores, check_training
from lmlab.reported.result import FOLDER, ReportedResult, predictions_path, read_result, result_names, result_path
from lmlab.run import Run
from lmlab.text import nearest
from pipelines.command import parser_of, run_command
from pipelines.compose import compose
from pipelines.in_process import DONE, output_paths, run_stages, source_digest_of
from pipelines.settings import tracked, validate_params
from pipelines.stages import load_stage
from pipelines.tracked import PROJECT_FILES
from pipelines.workspace import stage_fingerprints, stage_folder, work_folder

LEVELS = ("score", "evaluate", "train")
CHEAP_LEVELS = ("score", "evaluate")
MISSED_CODE = 1


class Subject(NamedTuple):
    """A result that is looked at, with the settings of its first seed."""

    result: ReportedResult
    params: Mapping[str, Any]
    settings: Mapping[str, Any]


def main() -> int:
    """Check, print the table, and return 1 if a number misses or what was asked for was not checked."""
    parser = parser_of("verify", __doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"results in {FOLDER}; all without a name")
    parser.add_argument("--level", choices=LEVELS, help="one level alone; without it what can be scored and evaluated")
    parser.add_argument("--sample", type=int, metavar="N", help="of the results N, drawn at random")
    options = parser.options()
    project = Path.cwd()
    names = _drawn(_chosen(project, options.names), options.sample)
    checks: list[Check] = []
    for name in names:
        subject = _subject(project, name)
        for level in (options.level,) if options.level else CHEAP_LEVELS:
            checks += _checks(project, subject, level)
    print_checks(checks)
    has_all = options.level is None or has_asked(names, checks, is_chosen=bool(options.names or options.sample))
    return 0 if has_all and all(check.holds for check in checks) else MISSED_CODE


def has_asked(names: Sequence[str], checks: Sequence[Check], *, is_chosen: bool) -> bool:
    """Whether the level that was asked for was done: for each result that was chosen, for any where all are meant."""
    unchecked = [name for name in names if name not in {check.result for check in checks}]
    if unchecked:
        print(f"not checked: {', '.join(unchecked)}", file=sys.stderr)
    return not unchecked if is_chosen else len(unchecked) < len(names)


def _chosen(project: Path, names: Sequence[str]) -> Sequence[str]:
    known = result_names(project)
    for name in names:
        if name not in known:
            raise InputError(f"{name}: {FOLDER} holds no such result; {nearest(name, known)}")
    if not known:
        raise InputError(f"{FOLDER} holds no results: write one with `python -m pipelines.record`")
    return names or known


def _drawn(names: Sequence[str], sample: int | None) -> Sequence[str]:
    """So many of the names, by chance and said; all without a number."""
    if sample is None:
        return names
    if not 1 <= sample <= len(names):
        raise InputError(f"--sample: {sample} of {len(names)} results: give a number from 1 to {len(names)}")
    drawn = sorted(random.sample(names, sample))
    print(f"drawn: {', '.join(drawn)}", file=sys.stderr)
    return drawn


def _subject(project: Path, name: str) -> Subject:
    result = read_result(result_path(project, name))
    params = compose([*result.overrides, f"seed={result.seeds[0]}"])
    return Subject(result, params, validate_params(params))


def _checks(project: Path, subject: Subject, level: str) -> Iterator[Check]:
    result, settings = subject.result, subject.settings
    if level == "score":
        if result.digests.predictions is None:
            _say(subject, "its predictions are not kept, so its file alone is checked")
        yield check_file(result_path(project, result.name), result)
        yield from check_scores(
            result, predictions_path(project, result.name), settings["task"], settings["evaluation"].bootstrap
        )
    elif level == "evaluate":
        yield from _checks_of_bundle(project, subject)
    else:
        yield from _checks_of_training(project, subject)


def _checks_of_bundle(project: Path, subject: Subject) -> Iterator[Check]:
    if not _has_source(project, subject):
        return
    paths = find_outputs(project, subject.params)
    if paths is None:
        _say(subject, "its bundle is not here, so it is not evaluated again; `--level train` trains it")
        return
    with tempfile.TemporaryDirectory() as scratch:
        outputs = {part: Path(scratch) / part for part in ("evaluation", "predictions", "plots")}
        found = load_stage("evaluate").call(subject.settings, {**paths, **outputs}, Run())
    has_same_weights = file_digest(paths["bundle"] / WEIGHTS_NAME) == subject.result.digests.weights
    yield from check_evaluation(subject.result, found, level="evaluate", has_same_weights=has_same_weights)


def _checks_of_training(project: Path, subject: Subject) -> Iterator[Check]:
    if not _has_source(project, subject):
        return
    fingerprints = stage_fingerprints(project, subject.params, source_digest_of(subject.params, project))
    work_folder(project).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="verify-", dir=work_folder(project)) as scratch:
        paths = run_stages(subject.settings, Path(scratch), fingerprints, Run())
        found, training = read_json(paths["evaluation"]), read_json(paths["training"])
    yield from check_evaluation(subject.result, found, level="train", has_same_weights=False)
    yield from check_training(subject.result, training, found)


def _has_source(project: Path, subject: Subject) -> bool:
    """Whether what the result was trained on is here; says so where it is not."""
    try:
        source_digest_of(subject.params, project)
    except (InputError, OSError) as error:
        _say(subject, f"its source is not here, so it is neither evaluated nor trained again ({error})")
        return False
    return True


def _say(subject: Subject, text: str) -> None:
    print(f"{subject.result.name}: {text}", file=sys.stderr)


def find_outputs(project: Path, params: Mapping[str, Any]) -> dict[str, Path] | None:
    """The paths of a training with these settings: the project's own, else those in work/; None if neither is there."""
    own = {name: project / path for name, path in {**PROJECT_FILES, "bundle": "models/bundle"}.items()}
    if tracked(read_params(project / "params.yaml")) == tracked(params) and own["bundle"].is_dir():
        return own
    fingerprints = stage_fingerprints(project, params, source_digest_of(params, project))
    folder = stage_folder(work_folder(project), "train", fingerprints["train"])
    return output_paths(work_folder(project), fingerprints) if (folder / DONE).exists() else None


def print_checks(checks: Sequence[Check]) -> None:
    """Print a row for each check and a line that counts them."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("result", "level", "what", "expected", "got", "tolerance", "verdict", box=None, pad_edge=False)
    for check in checks:
        tolerance = "equal" if check.tolerance is None else f"{check.tolerance:.2g}"
        verdict = Text("holds", "green") if check.holds else Text("MISSES", "bold red")
        table.add_row(
            check.result, check.level, check.what, _text(check.expected), _text(check.got), tolerance, verdict
        )
    # What stands in names and settings is no markup.
    Console(width=None if sys.stdout.isatty() else 160, markup=False, emoji=False).print(table)
    missed = [f"{check.result}: {check.what}" for check in checks if not check.holds]
    print(f"{len(checks) - len(missed)} of {len(checks)} hold" + (f"; missed: {', '.join(missed)}" if missed else ""))


def _text(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


if __name__ == "__main__":
    run_command(main)
