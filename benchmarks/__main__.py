"""All benchmarks one after another, each in a process of its own; a failure of one does not stop the others.

Example: make bench
"""

import subprocess
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

SHARED = {"__init__", "__main__", "measuring"}


def main() -> int:
    """Run every module of this folder; the number that failed."""
    ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    ).parse_args()
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in SHARED)
    failed = []
    for number, name in enumerate(names, start=1):
        print(f"[{number} of {len(names)}] {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
