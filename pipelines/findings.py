"""Which model is best where, and is that more than chance? From the reported results and their kept predictions.

Results whose settings differ in the model and its training alone are ranked by the mean over their seeds; the best two
are compared by the paired bootstrap of their first seeds. The table is printed, and rendered in reports/findings.md
between its marks.

Example: python -m pipelines.findings
"""

from pathlib import Path

from lmlab.comparison.pairing import Side, compare_sides
from lmlab.errors import InputError
from lmlab.evaluation.metrics import METRICS
from lmlab.files import whole_file
from lmlab.reported.grid import Contest, Pairing, Rival, contests_of, fill_grid, grid_of
from lmlab.reported.result import FOLDER, predictions_path, read_result, result_names, result_path
from pipelines.command import parser_of, run_command
from pipelines.compose import compose
from pipelines.settings import validate_params

PAGE = Path("reports/findings.md")


def main() -> int:
    """Print the table and render the page."""
    parser_of("findings", __doc__).options()
    project = Path.cwd()
    contests = find_contests(project)
    if not contests:
        raise InputError(f"{FOLDER} holds no two results that could be compared: `python -m pipelines.record`")
    print(grid_of(contests))
    page = project / PAGE
    if page.is_file():
        text = fill_grid(page.read_text(encoding="utf-8"), contests)
        with whole_file(page) as partial:
            partial.write_text(text, encoding="utf-8")
    return 0


def find_contests(project: Path) -> list[Contest]:
    """All contests of the project's reported results."""
    return contests_of((_rival(project, name) for name in result_names(project)), compare_rivals)


def compare_rivals(best: Rival, second: Rival) -> Pairing:
    """The paired bootstrap of their first seeds, whose predictions alone are kept.

    Raises: InputError if these were measured against something else, or are too few.
    """
    ours, theirs = (Side(one.result.model, {str(one.result.seeds[0]): str(one.predictions)}) for one in (best, second))
    metric = METRICS.get(best.metric).build(language=best.task.language)
    verdict = compare_sides(ours, theirs, metric, best.bootstrap, Path)
    return Pairing(verdict.difference, verdict.is_right_way, verdict.is_beyond_noise)


def _rival(project: Path, name: str) -> Rival:
    result = read_result(result_path(project, name))
    settings = validate_params(compose([*result.overrides, f"seed={result.seeds[0]}"]))
    return Rival(result, predictions_path(project, name), settings["task"], settings["evaluation"].bootstrap)


if __name__ == "__main__":
    run_command(main)
