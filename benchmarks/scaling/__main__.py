"""The tables of docs/scaling.md: what training costs at 100 million to 10 billion parameters, in Markdown.

Examples:
  python -m benchmarks.scaling                       # prints them
  python -m benchmarks.scaling --mfu 0.3 --price 4   # with other assumptions
  python -m benchmarks.scaling --check               # measures small cases beside the formulas; minutes
  python -m benchmarks.scaling --write               # puts them into the document
"""

import argparse
import re
import sys
import warnings
from pathlib import Path

from benchmarks.scaling.hardware import DEFAULT, H100, H200, Machine
from benchmarks.scaling.tables import TABLES
from lmlab.files import whole_file

DOCUMENT = Path(__file__).absolute().parents[2] / "docs" / "scaling.md"
PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def main() -> int:
    """Print, measure or write; 1 where a measured case is off."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", choices=("H100", "H200"), default="H100")
    parser.add_argument("--mfu", type=float, default=DEFAULT.mfu, help=f"default: {DEFAULT.mfu}")
    parser.add_argument("--price", type=float, default=DEFAULT.dollars_per_gpu_hour, help="dollars a GPU hour")
    parser.add_argument(
        "--check",
        action="store_true",
        help="measure small cases and write reports/benchmarks; --write then updates the document",
    )
    parser.add_argument("--write", action="store_true", help="write docs/scaling.md, with the default assumptions")
    options = parser.parse_args()
    num_off = check() if options.check else 0
    if options.write:
        text = filled(DOCUMENT.read_text(encoding="utf-8"))
        with whole_file(DOCUMENT) as partial:
            partial.write_text(text, encoding="utf-8")
    elif not options.check:
        gpu = {"H100": H100, "H200": H200}[options.gpu]
        machine = DEFAULT._replace(gpu=gpu, mfu=options.mfu, dollars_per_gpu_hour=options.price)
        for name, table in TABLES.items():
            print(f"\n{name}\n\n{table(machine)}")
    return num_off


def filled(text: str, machine: Machine = DEFAULT) -> str:
    """The document with every marked table as it is now."""
    return PLACE.sub(lambda found: f"{found[1]}{TABLES[found[2]](machine)}\n{found[3]}", text)


def check() -> int:
    """Measure everything, write the report, and say how many cases are off."""
    from benchmarks.measuring import Case, report
    from benchmarks.scaling.measured import SMALL, everything, resident_ratio

    warnings.simplefilter("ignore")
    cases, off = [], []
    for found in everything():
        print(f"{found.name}: {found.off:+.2%}", file=sys.stderr, flush=True)
        cases.append(Case(found.name, found.unit, False, {"measured": [found.measured], "formula": [found.formula]}))
        if not found.agrees:
            off.append(found)
    ratio = resident_ratio(SMALL[1])
    notes = (
        "Written by `python -m benchmarks.scaling --check`. Memory is with an allocator that gives all blocks back; "
        f"with the settings of the stage train, which are for speed, it is {ratio:.2f} times as much."
    )
    report("scaling", "Do the formulas of docs/scaling.md hold?", cases, notes=notes)
    for found in off:
        print(f"{found.name}: off by {found.off:+.2%}, {found.tolerance:.1%} allowed", file=sys.stderr)
    return len(off)


if __name__ == "__main__":
    sys.exit(main())
