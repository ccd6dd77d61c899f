"""Peak memory of the stages clean and encode, each in a process of its own, over corpora of growing size.

A process that only imports what the stage imports stands beside, since that is the larger part of a small corpus.

Example: python -m benchmarks.memory --megabytes 10 40 160
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import Case, report
from benchmarks.preparation import ROOT, clean_stage, encode_stage, settings_of, write_corpus
from lmlab.memory import peak_memory_megabytes

STAGES = {"clean": clean_stage, "encode": encode_stage}


def main() -> None:
    """Measure every size and write the report; as `--inside`, be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[10, 40, 160], help="of text, each size")
    parser.add_argument("--inside", nargs=2, metavar=("STAGE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(peak_megabytes(options.inside[0], Path(options.inside[1])))
        return
    peaks: dict[str, dict[str, list[float]]] = {stage: {"nothing": []} for stage in STAGES}
    documents = []
    for megabytes in options.megabytes:
        with tempfile.TemporaryDirectory() as scratch:
            documents.append(f"{megabytes} MB: {write_corpus(Path(scratch) / 'text.jsonl', megabytes=megabytes):,}")
            for stage, found in peaks.items():
                found[f"{megabytes} MB"] = [in_own_process(stage, Path(scratch))]
    for stage, found in peaks.items():
        with tempfile.TemporaryDirectory() as scratch:
            found["nothing"] = [in_own_process(f"import {stage}", Path(scratch))]
    cases = [Case(stage, "MB at most", False, found) for stage, found in peaks.items()]
    notes = f"Documents: {', '.join(documents)}. Each measured once, with one process."
    report("memory", "How much memory does preparing text take?", cases, notes=notes)


def in_own_process(stage: str, folder: Path) -> float:
    """Peak resident megabytes of a fresh process that runs the stage there."""
    command = [sys.executable, "-m", "benchmarks.memory", "--inside", stage, str(folder)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def peak_megabytes(stage: str, folder: Path) -> float:
    """Run the stage, if not only its imports are asked for, and say what this process took at most."""
    if stage in STAGES:
        STAGES[stage](folder, settings_of(folder, "runtime.threads=1"))
    return peak_memory_megabytes()


if __name__ == "__main__":
    main()
