"""What all benchmarks share: ways measured in turns in one run, and their result as a file and a table.

Rounds alternate between the ways, since others who use the machine slow all of them down; the ratio of two ways is
the median of their ratios round by round. A result is one JSON file in reports/benchmarks/, and all of them together
are reports/benchmarks.md.
"""

import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lmlab.files import whole_file, write_json

FOLDER = Path(__file__).absolute().parents[1] / "reports" / "benchmarks"
TABLE = FOLDER.with_suffix(".md")
OURS = "lmlab"


class Case(NamedTuple):
    """One question to the machine: the same work done in several ways."""

    name: str
    unit: str
    """Of the values, such as `tokens/s` or `s`."""
    higher_is_better: bool
    values: Mapping[str, Sequence[float]]
    """Each way's measurements, round by round; lmlab's own is called OURS."""


def in_turns(ways: Mapping[str, Callable[[], float]], *, rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """What each way returns in each round; the first `warm_up` rounds do not count."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(warm_up + rounds):
        for name, measure in ways.items():
            value = measure()
            if number >= warm_up:
                found[name].append(value)
    return found


def ratios_to_ours(case: Case) -> dict[str, dict[str, float]]:
    """How many times as good lmlab is as each other way: the median over the rounds, the lowest and the highest."""
    ours = case.values[OURS]
    found = {}
    for name, others in case.values.items():
        if name != OURS:
            pairs = zip(ours, others, strict=True)
            ratios = [one / other if case.higher_is_better else other / one for one, other in pairs]
            found[name] = spread(ratios)
    return found


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def report(name: str, question: str, cases: Sequence[Case], *, notes: str = "", options: str = "") -> None:
    """Print the table of a benchmark and write its file; the page of all benchmarks follows.

    With options that make another benchmark of it, they are part of its name.
    """
    result = {
        "benchmark": f"{name}{options}",
        "question": question,
        "command": f"python -m benchmarks.{name} {options}".rstrip(),
        "machine": machine(),
        "notes": notes,
        "cases": [
            {
                "name": case.name,
                "unit": case.unit,
                "higher_is_better": case.higher_is_better,
                "values": {way: spread(values) for way, values in case.values.items()},
                "ratios": ratios_to_ours(case) if OURS in case.values else {},
                "rounds": max(map(len, case.values.values())),
            }
            for case in cases
        ],
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_json(FOLDER / f"{name}{options.replace('--', '_')}.json", result)
    print(table(result), flush=True)
    write_page()


def machine() -> dict[str, Any]:
    """The class of machine that measured: enough to compare figures, nothing that names it."""
    import torch

    return {
        **({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def write_page() -> None:
    """Write reports/benchmarks.md from the files of all benchmarks."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]
    parts = [
        "# Benchmarks\n\nWritten by `make bench` and, where they need a GPU, a text or more time, by the command under "
        "each heading. Each value is the median over the rounds of one run, with the lowest and the highest; the ways "
        "of one line were measured in turns. Ratios say how many times as good lmlab is (above 1: better), round by "
        "round.",
        *(table(result) for result in results),
    ]
    with whole_file(TABLE) as partial:
        partial.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def table(result: Mapping[str, Any]) -> str:
    """A benchmark's result in Markdown."""
    machine = result["machine"]
    gpu = f"{machine['gpu']}, " if "gpu" in machine else ""
    lines = [
        f"## {result['question']}",
        "",
        f"`{result['command']}`, on {gpu}{machine['cores']} cores ({machine['processor']}, {machine['instructions']}), "
        f"{machine['threads']} threads, torch {machine['torch']}.",
        "",
        *([result["notes"], ""] if result["notes"] else []),
        "| case | unit | way | value | lmlab is |",
        "|---|---|---|---:|---:|",
    ]
    for case in result["cases"]:
        for way, values in case["values"].items():
            ratio = case["ratios"].get(way)
            times = "" if ratio is None else _shown(ratio, suffix=" x")
            lines.append(f"| {case['name']} | {case['unit']} | {way} | {_shown(values)} | {times} |")
    return "\n".join(lines)


def _shown(values: Mapping[str, float], *, suffix: str = "") -> str:
    median = f"{_number(values['median'])}{suffix}"
    if values["low"] == values["high"]:
        return median
    return f"{median} ({_number(values['low'])} to {_number(values['high'])})"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
