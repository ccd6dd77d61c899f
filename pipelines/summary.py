"""Print what the last `dvc repro` reached: the test metrics with their intervals, the baselines, where the report is.

Example: python -m pipelines.summary
"""

from pathlib import Path

from lmlab.files import read_json
from lmlab.reporting.summary import render_summary
from pipelines.command import parser_of, run_command
from pipelines.tracked import PROJECT_FILES


def main() -> int:
    """Read reports/ and print."""
    parser_of("summary", __doc__).options()
    print(f"\n{render_summary(read_json(Path(PROJECT_FILES['evaluation'])))}")
    print(f"\nmodel:  {PROJECT_FILES['export']}\nreport: {PROJECT_FILES['html']}\nruns:   make ui")
    return 0


if __name__ == "__main__":
    run_command(main)
