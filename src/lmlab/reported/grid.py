"""Reported results of several models side by side: which is best, and whether that is more than chance.

The table stands in a page between two marks:

<!-- grid -->
...
<!-- end of grid -->
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from lmlab.charts import places_of
from lmlab.data.task import TaskSettings
from lmlab.errors import InputError
from lmlab.evaluation.intervals import Difference
from lmlab.evaluation.settings import BootstrapSettings
from lmlab.reported.result import ReportedMetric, ReportedResult

_GRID = re.compile(r"(<!-- grid -->\n).*?(<!-- end of grid -->)", re.DOTALL)
_RIVALS_OWN = ("model=", "model.", "training=", "training.", "training/")
NOT_KEPT = "predictions not kept"
HEADINGS = ("settings", "metric", "best", "second", "others", "best less second, of seed 1 (95 % interval)", "p")


class Rival(NamedTuple):
    """A reported result, the path of its predictions, which may not be kept, and how they are scored."""

    result: ReportedResult
    predictions: Path
    task: TaskSettings
    bootstrap: BootstrapSettings

    @property
    def headline(self) -> ReportedMetric:
        """The first metric of its task."""
        return self.result.metrics[self.metric]

    @property
    def metric(self) -> str:
        """The name of the first metric of its task."""
        return next(iter(self.result.metrics))


class Pairing(NamedTuple):
    """How the best differs from the second, of their first seeds."""

    difference: Difference
    """The best less the second."""
    is_right_way: bool
    """Whether the one with the better mean is the better one there, too."""
    is_told_apart: bool


Compare = Callable[[Rival, Rival], Pairing]
"""Compares the best with the second; may raise InputError where they cannot be compared."""


class Contest(NamedTuple):
    """Results on the same test records, whose settings differ in model and training alone; the best mean first."""

    settings: str
    rivals: list[Rival]
    pairing: Pairing | str
    """A text where they were not compared: why."""


def contests_of(rivals: Iterable[Rival], compare: Compare) -> list[Contest]:
    """A contest for all settings that several results share, in the order of the first of each."""
    groups: dict[tuple, list[Rival]] = {}
    for rival in rivals:
        settings = tuple(word for word in rival.result.overrides if not word.startswith(_RIVALS_OWN))
        groups.setdefault((settings, rival.result.digests.test_records), []).append(rival)
    return [_contest(" ".join(settings), group, compare) for (settings, _), group in groups.items() if len(group) > 1]


def _contest(settings: str, rivals: list[Rival], compare: Compare) -> Contest:
    sign = 1 if rivals[0].headline.better == "lower" else -1
    ranked = sorted(rivals, key=lambda rival: sign * rival.headline.mean)
    return Contest(settings, ranked, _paired(ranked[0], ranked[1], compare))


def _paired(best: Rival, second: Rival, compare: Compare) -> Pairing | str:
    if not (best.result.digests.predictions and second.result.digests.predictions):
        return NOT_KEPT
    try:
        return compare(best, second)
    except InputError as error:
        return f"not tested: {error}"


def grid_of(contests: Iterable[Contest]) -> str:
    """A Markdown table with a row for each contest."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * (len(HEADINGS) - 1) + "---:|"]
    return "\n".join(lines + ["| " + " | ".join(_cells(contest)) + " |" for contest in contests])


def fill_grid(text: str, contests: Iterable[Contest]) -> str:
    """The text with the marked table rendered anew."""
    table = grid_of(contests)
    return _GRID.sub(lambda match: f"{match[1]}{table}\n{match[2]}", text)


def _cells(contest: Contest) -> list[str]:
    rivals = contest.rivals
    places = places_of([rival.headline.mean for rival in rivals])
    best, second, *others = (_cell(rival, places) for rival in rivals)
    return [
        f"`{contest.settings}`",
        f"{rivals[0].headline.label}, {rivals[0].headline.better} is better",
        *(best, second, "; ".join(others)),
        *_compared(contest.pairing, places),
    ]


def _compared(pairing: Pairing | str, places: int) -> tuple[str, str]:
    if isinstance(pairing, str):
        return pairing, ""
    value, low, high, p_value = pairing.difference
    told = "" if pairing.is_told_apart else ": not told apart"
    if not pairing.is_right_way:
        told += ", for there the order is the other way round"
    return f"{value:+.{places}f} ({low:+.{places}f} to {high:+.{places}f}){told}", f"{p_value:.3f}"


def _cell(rival: Rival, places: int) -> str:
    headline, seconds = rival.headline, rival.result.seconds
    spread = "" if headline.deviation is None else f" ± {headline.deviation:.{places}f}"
    took = "" if seconds is None else f", {seconds:,.0f} s"
    return f"{rival.result.model} {headline.mean:.{places}f}{spread}{took}"
