"""Record a result: train with each seed what work/ does not hold yet, and write reports/results/NAME.yaml.

Example: python -m pipelines.record language_docs_lstm experiment=language_docs model=lstm --seeds 1 2
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmlab.errors import InputError
from lmlab.files import whole_file
from lmlab.reported.building import Origin, build_result
from lmlab.reported.result import predictions_path, read_result, result_path, write_result
from lmlab.reported.tables import fill_tables
from lmlab.tracking.identity import commit_of, machine_tags
from lmlab.tracking.run import stored_metrics
from pipelines.command import parser_of, run_command
from pipelines.compose import compose
from pipelines.in_process import run_pipeline, source_digest_of
from pipelines.settings import UNTRACKED, validate_params
from pipelines.tracked import run_identity, run_name


def main() -> int:
    """Train, write the result and render the README's tables."""
    parser = parser_of("record", __doc__)
    parser.add_argument("name", help="the result's name; by custom EXPERIMENT_MODEL")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for pipelines.run, but for the seed")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1], metavar="SEED", help="default: 1")
    parser.add_argument(
        "--without-predictions",
        action="store_true",
        help="keep no predictions, whose references are text of the test split, of data that may not be given away",
    )
    options = parser.options()
    keeps_predictions = not options.without_predictions
    record(Path.cwd(), options.name, options.overrides, options.seeds, keeps_predictions=keeps_predictions)
    return 0


def record(
    project: Path, name: str, overrides: Sequence[str], seeds: Sequence[int], *, keeps_predictions: bool = True
) -> None:
    """Write the result of that name, with the predictions of its first seed beside it where they are kept.

    Raises: InputError for a name that is no file name, a seed given twice or as an override, or settings that do not
    fit.
    """
    if not re.fullmatch(r"\w+", name):
        raise InputError(f"{name}: a result's name is made of letters, digits and _, as in language_docs_lstm")
    if len(set(seeds)) < len(seeds) or any(override.startswith("seed=") for override in overrides):
        raise InputError("--seeds: give every seed once, and here alone, as in --seeds 1 2 3")
    by_seed = [compose([*overrides, f"seed={seed}"]) for seed in seeds]
    for params in by_seed:
        validate_params(params)
    outputs = [run_pipeline(params, project, name=run_name(params), parent=None) for params in by_seed]
    kept = [override for override in overrides if override.split(".")[0] not in UNTRACKED]
    machine = machine_tags()
    origin = Origin(
        name=name,
        overrides=kept,
        seeds=list(seeds),
        seconds=_training_seconds(project, by_seed[0]),
        machine=machine["lmlab.machine"],
        versions=machine["lmlab.versions"],
        commit=commit_of(project),
    )
    result = build_result(origin, outputs, keeps_predictions=keeps_predictions)
    if keeps_predictions:
        with whole_file(predictions_path(project, name)) as partial:
            shutil.copyfile(outputs[0]["predictions"], partial)
    else:
        predictions_path(project, name).unlink(missing_ok=True)
    write_result(result_path(project, name), result)
    print(f"wrote {result_path(project, name).relative_to(project)}")
    render_readme(project)


def _training_seconds(project: Path, params: Mapping[str, Any]) -> float | None:
    if not params["runtime"]["tracking"]:
        return None
    source_digest = source_digest_of(params, project)
    identity = run_identity(project, params, source_digest, name=run_name(params), parent=None)
    return stored_metrics(project, identity).get("seconds/train")


def render_readme(project: Path) -> None:
    """Render the README's tables of results anew."""
    path = project / "README.md"
    if not path.is_file():
        return
    before = path.read_text(encoding="utf-8")
    after = fill_tables(before, lambda name: read_result(result_path(project, name)))
    if after != before:
        with whole_file(path) as partial:
            partial.write_text(after, encoding="utf-8")
        print("rendered the tables of README.md")


if __name__ == "__main__":
    run_command(main)
