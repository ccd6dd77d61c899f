"""What a sweep adds to its trainings: records, locks, tracking, start; seconds a job, side by side in one run.

Example: python -m benchmarks.sweep_cost --jobs 6
"""

import argparse
import contextlib
import io
import os
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import OURS, Case, report
from lmlab.run import Run
from lmlab.tracking.sweep import close_sweep, open_sweep
from pipelines.compose import compose
from pipelines.in_process import run_stages, source_digest_of
from pipelines.settings import validate_params
from pipelines.sweep import Sweep, run_sweep_job, sweep_folder
from pipelines.workspace import stage_fingerprints

OVERRIDES = [
    "source=files",
    "source.path=text.txt",
    "source.documents=paragraphs",
    "tokenizer.vocabulary_size=500",
    "training.max_steps=100",
    "training.validate_every_steps=50",
    "training.warmup_steps=10",
    "evaluation.baselines.training_megabytes=1",
    "runtime.threads=1",
]
NOTES = "The same jobs in turns, each with a seed of its own: in a tracked sweep, and their stages alone."
PARAGRAPH = "The {number}th paragraph tells of {number} things and of what became of each of them in turn.\n\n"


def main() -> None:
    """Print the table and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=6)
    jobs = parser.parse_args().jobs
    root = Path(__file__).absolute().parents[1]
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch)
        for name in ("conf", "src", "pipelines", "dvc.yaml", "constraints.txt"):
            (project / name).symlink_to(root / name)
        os.chdir(project)
        (project / "text.txt").write_text("".join(PARAGRAPH.format(number=n) for n in range(3000)), encoding="utf-8")
        plain_seconds, sweep_seconds = compare(project, jobs)
        os.chdir(root)
    added = [one - other for one, other in zip(sweep_seconds, plain_seconds, strict=True)]
    cases = [
        Case("a training of 100 steps", "s", False, {OURS: sweep_seconds, "its stages alone": plain_seconds}),
        Case("what the sweep adds", "s", False, {OURS: added}),
    ]
    report("sweep_cost", "What does a sweep add to its trainings?", cases, notes=NOTES)


def compare(project: Path, jobs: int) -> tuple[list[float], list[float]]:
    """Seconds of each job by its stages alone, and of the same job in a sweep."""
    parent = open_sweep(project, name="benchmark", fingerprint="benchmark", settings={})
    sweep = Sweep(project, sweep_folder(project, "benchmark"), parent, (), False)
    plain, swept = [], []
    # The first job of each cleans, encodes and imports; it does not count.
    for seed in range(jobs + 1):
        params = compose([*OVERRIDES, f"seed={seed}"])
        with contextlib.redirect_stdout(io.StringIO()):
            began = time.perf_counter()
            fingerprints = stage_fingerprints(project, params, source_digest_of(params, project))
            run_stages(validate_params(params), project / "plain", fingerprints, Run())
            between = time.perf_counter()
            run_sweep_job(sweep, params, [f"seed={seed}"])
        plain.append(between - began)
        swept.append(time.perf_counter() - between)
    close_sweep(project, parent, state="FINISHED", summary={}, folder=None)
    return plain[1:], swept[1:]


if __name__ == "__main__":
    main()
