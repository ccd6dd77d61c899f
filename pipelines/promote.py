"""Make a run the project's own setting, or its model the champion of its task.

RUN is a run's id, its name, or the beginning of its id or fingerprint, as MLflow and `pipelines.compare` show them;
`best` is the best on validation of the newest sweep that did not fail whole: that with the fewest bits per byte on the
validation split, in the mean over its seeds, of which the first is taken. The test split chooses nothing.
Without --champion, conf/experiment/NAME.yaml is written with its settings, conf/config.yaml picks it and params.yaml is
composed: `dvc repro` then gives the run's metrics. With --champion no file is written: the run's model is registered
in MLflow under its task's name, if it is not yet, and gets the alias `champion` there, in place of the one before.

Examples:
  python -m pipelines.promote best
  python -m pipelines.promote 3f9a2c --name long_gru
  python -m pipelines.promote 3f9a2c --champion
"""

import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lmlab.comparison.comparing import best_on_validation
from lmlab.comparison.origins import shortened_digest
from lmlab.errors import InputError
from lmlab.files import whole_file
from lmlab.tracking.finding import FoundRun, find_one_run, read_settings
from lmlab.tracking.identity import CODE_TAG, SOURCE_TAG
from lmlab.tracking.reading import LATEST, Artifacts, children_of, find_sweep, read_runs
from lmlab.tracking.registry import CHAMPION, make_champion
from lmlab.tracking.store import tracking_address, without_credentials
from pipelines.command import parser_of, run_command
from pipelines.compose import CONF, compose, write_params
from pipelines.differences import experiment_text, smallest_experiment
from pipelines.in_process import source_digest_of
from pipelines.settings import tracked, validate_params
from pipelines.workspace import code_digest

BEST = "best"
CHOICE = re.compile(r"^(  - experiment: )(\S+)$", re.MULTILINE)


def main() -> int:
    """Write the experiment and params.yaml, or mark the champion."""
    parser = parser_of("promote", __doc__)
    parser.add_argument("run", help="id, name or fingerprint of a run, or `best`, on validation")
    parser.add_argument("--name", help="the experiment's name; by default made of task, model and seed")
    parser.add_argument("--force", action="store_true", help="replace an experiment of that name")
    parser.add_argument("--champion", action="store_true", help="make its model its task's champion; writes no file")
    options = parser.options()
    if options.champion and (options.name or options.force):
        raise InputError("--champion: writes no experiment, which --name and --force are for; leave them out")
    project = Path.cwd()
    run = _meant(project, options.run)
    if options.champion:
        print(champion_text(project, run))
    else:
        promote(project, run, name=options.name, force=options.force)
    return 0


def _meant(project: Path, run: str) -> str:
    """The run as it was named; for `best` the id of the best on validation of the newest sweep with results."""
    if run != BEST:
        return run
    with Artifacts(project) as artifacts:
        sweep, name = find_sweep(project, LATEST)
        jobs = children_of(read_runs(project), sweep)
        at_work = [job.name for job in jobs if job.state == "RUNNING"]
        if at_work:
            raise InputError(f"{BEST}: {name} is not whole, {', '.join(at_work)} still runs: wait, or name a run")
        row = best_on_validation(jobs, artifacts)
    best = row.runs[0].run
    over = f", the mean over {len(row.runs)} seeds" if len(row.runs) > 1 else ""
    reached = f"{row.value:.3f} bits per byte there{over}"
    print(f"the best on validation of {name}: {best.name} ({best.run_id[:8]}), {reached}")
    return best.run_id


def champion_text(project: Path, run: str) -> str:
    """Make the run's model its task's champion; what was done and how it is used, for people.

    Raises: InputError if no run or several are meant, or it has no model.
    """
    done = make_champion(project, run)
    name, number = done.version
    replaced = f", in place of version {done.before}" if done.before not in (None, number) else ""
    address, store = f"models:/{name}@{CHAMPION}", tracking_address(project)
    # A password stays where it is: in the variable that MLflow reads as well.
    told = f"MLFLOW_TRACKING_URI={store} " if without_credentials(store) == store else ""
    return (
        f"{address} is now version {number}{replaced}\n"
        f"  apply it  python -m pipelines.apply --model {address}\n"
        f"  serve it  {told}mlflow models serve -m {address} "
        "--env-manager local --host 127.0.0.1 --port 5001"
    )


def promote(project: Path, run: str, *, name: str | None, force: bool) -> None:
    """Make the run's settings those of the project.

    Raises: InputError if no run or several are meant, its settings no longer validate, or the name is taken.
    """
    found = find_one_run(project, run)
    wanted = tracked(read_settings(project, found))
    validate_params({**compose([]), **wanted})
    name = name or _name_of(wanted)
    path = CONF / "experiment" / f"{name}.yaml"
    if not re.fullmatch(r"\w+", name):
        raise InputError(f"--name: {name} is no experiment's name: use letters, digits and _, as in long_gru")
    if path.exists() and not force:
        raise InputError(f"{path} is there already: give --name another name, or --force to replace it")
    text = _text_of(project, wanted, comment=f"Promoted from the run {found.name} ({found.run_id}).")
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    _choose(name)
    write_params(compose([]))
    changes = _changes(project, found, wanted)
    gives = "trains with the run's settings" if changes else "gives the run's metrics"
    print(f"wrote {path}; conf/config.yaml picks it, params.yaml is composed: `dvc repro` {gives}")
    if changes:
        print(f"its numbers will differ from the run's, which had {' and '.join(changes)}")


def _changes(project: Path, run: FoundRun, settings: Mapping[str, Any]) -> list[str]:
    """What decided the run's numbers beside its settings and is another now, in words."""
    now = {"code": (CODE_TAG, code_digest(project))}
    # What is not here cannot be compared; `dvc repro` says what is missing.
    with suppress(InputError, OSError):
        now["data"] = SOURCE_TAG, source_digest_of(settings, project)
    return [
        f"other {what} ({_short(run.tags.get(tag))}, now {_short(digest)})"
        for what, (tag, digest) in now.items()
        if run.tags.get(tag) != digest
    ]


def _short(digest: str | None) -> str:
    return shortened_digest(digest, without="unknown")


def _name_of(settings: Mapping[str, Any]) -> str:
    return f"{settings['task']['name']}_{settings['model']['name']}_seed{settings['seed']}"


def _text_of(project: Path, wanted: Mapping[str, Any], *, comment: str) -> str:
    """The experiment's file, composed in a copy of conf/ first: it gives just the settings that are wanted."""
    experiment = smallest_experiment(wanted)
    for candidate in (experiment.without_derived(), experiment):
        text = experiment_text(candidate, comment=comment)
        found = _composed(project, text)
        if found == wanted:
            return text
    keys = [key for key in wanted if found.get(key) != wanted[key]]
    raise InputError(f"the run's settings cannot be said as an experiment: {', '.join(keys)} would differ")


def _composed(project: Path, text: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        conf = Path(scratch) / "conf"
        shutil.copytree(project / CONF, conf)
        (conf / "experiment" / "promoted.yaml").write_text(text, encoding="utf-8")
        return tracked(compose(["experiment=promoted"], conf=conf))


def _choose(name: str) -> None:
    path = CONF / "config.yaml"
    text, count = CHOICE.subn(rf"\g<1>{name}", path.read_text(encoding="utf-8"))
    if count != 1:
        raise InputError(f"{path} has no line `- experiment: ...` to pick the experiment with: add it to defaults")
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_command(main)
