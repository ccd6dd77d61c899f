"""Compare runs: a table, plots, and a test of the best two; in reports/comparison/ also as CSV, Markdown and HTML.

Without a choice: all finished runs, those that may be ranked together in one table each.

Examples:
  python -m pipelines.compare --sweep latest
  python -m pipelines.compare --task translation
  python -m pipelines.compare --where "params.`model.name` = 'lstm' and metrics.bits_per_byte < 2"
"""

import logging
from argparse import Namespace
from pathlib import Path

from lmlab.comparison.comparing import compare
from lmlab.comparison.pages import print_comparison, write_comparison
from lmlab.errors import InputError
from lmlab.tracking.reading import Artifacts, RunRecord, children_of, find_sweep, read_runs
from lmlab.tracking.store import tracking_address, without_credentials
from pipelines.command import parser_of, run_command

log = logging.getLogger("lmlab")

OUT = Path("reports/comparison")


def main() -> int:
    """Compare, print and write."""
    parser = parser_of("compare", __doc__)
    chosen = parser.add_mutually_exclusive_group()
    which = "jobs of a sweep, by its name or id; `latest` is the newest that did not fail whole"
    chosen.add_argument("--sweep", metavar="NAME", help=which)
    chosen.add_argument("--task", help="runs of a task, such as translation")
    chosen.add_argument("--where", metavar="FILTER", help="runs that a filter of MLflow's search lets through")
    chosen.add_argument(
        "--runs", nargs="+", metavar="ID", help="runs by the beginnings of their ids, or by their names"
    )
    parser.add_argument(
        "--metric", help="rank by this metric, or by validation_bits_per_byte; by default the first of the task"
    )
    parser.add_argument("--out", type=Path, default=OUT, metavar="FOLDER", help=f"default: {OUT}")
    options = parser.options()
    project = Path.cwd()
    # MLflow takes seconds to import.
    log.info("reading the runs of %s", without_credentials(tracking_address(project)))
    runs = _chosen(project, options)
    with Artifacts(project) as artifacts:
        is_chosen = bool(options.sweep or options.where or options.runs)
        comparison = compare(runs, artifacts, metric=options.metric, is_chosen=is_chosen)
    print_comparison(comparison)
    write_comparison(options.out, comparison)
    print(f"page: {options.out / 'comparison.html'}")
    return 0


def _chosen(project: Path, options: Namespace) -> list[RunRecord]:
    runs = read_runs(project, options.where or "")
    if options.sweep:
        sweep, _ = find_sweep(project, options.sweep)
        return children_of(runs, sweep)
    if options.task:
        return _of_task(runs, options.task)
    if options.runs:
        return [_named(runs, name) for name in options.runs]
    return runs


def _of_task(runs: list[RunRecord], task: str) -> list[RunRecord]:
    found = [run for run in runs if run.params.get("task.name") == task]
    if not found:
        tasks = sorted({run.params["task.name"] for run in runs if "task.name" in run.params})
        raise InputError(f"--task {task}: no run has that task; the store's tasks: {', '.join(tasks) or 'none'}")
    return found


def _named(runs: list[RunRecord], name: str) -> RunRecord:
    found = [run for run in runs if run.run_id.startswith(name) or run.name == name]
    if len(found) != 1:
        raise InputError(f"--runs {name}: {len(found)} runs are meant by that; give the beginning of one run's id")
    return found[0]


if __name__ == "__main__":
    run_command(main)
