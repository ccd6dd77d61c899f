"""A search over a parabola, and a launcher that a kill may interrupt."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lmlab.config import validate
from lmlab.run import Outcome
from lmlab.search.run import Search, run_search
from lmlab.search.settings import SearchSettings
from lmlab.search.space import Choices, Interval, Space

SETTINGS = {
    "sampler": "tpe",
    "num_trials": 8,
    "num_startup_trials": 3,
    "seed": 1,
    "seeds": None,
    "objectives": ["loss:minimize"],
    "pruner": None,
    "parallel_trials": 1,
    "trial": None,
    "dry_run": False,
    "retry_failed": False,
}
CONTINUOUS: Space = {"rate": Interval(1e-3, 1.0, True), "model": Choices(("lstm", "gru"))}
FINITE: Space = {"width": Choices(("8", "16", "32", "64")), "model": Choices(("lstm", "gru"))}


class Killed(BaseException):
    """Stands for a kill: nothing after it runs."""


class Launcher:
    """Runs jobs at once: the loss is (rate - 0.3)^2 or (width - 16)^2, plus the seed; notes what was asked.

    Some jobs, given by their places, may have other ends.
    """

    def __init__(self, *, killed_at: int | None = None, ends: Mapping[int, Outcome] | None = None) -> None:
        self.asked: list[list[str]] = []
        self._killed_at = killed_at
        self._ends = ends or {}

    def __call__(self, jobs: Sequence[list[str]]) -> list[Outcome]:
        return [self._run(job) for job in jobs]

    def _run(self, job: list[str]) -> Outcome:
        if self._killed_at == len(self.asked):
            raise Killed
        self.asked.append(job)
        if len(self.asked) - 1 in self._ends:
            return self._ends[len(self.asked) - 1]
        given = dict(override.split("=") for override in job)
        loss = (float(given.get("rate", 0.3)) - 0.3) ** 2 + (float(given.get("width", 16)) - 16) ** 2
        return Outcome("FINISHED", {"loss": loss + float(given.get("seed", 0)), "parameters": loss**0.5}, None)


def settings(**changes: object) -> SearchSettings:
    """The settings with some of them changed."""
    return validate(SearchSettings, {**SETTINGS, **changes}, path="hydra.sweeper")


def search_in(folder: Path, space: Space, launcher: Launcher, **changes: object) -> list[list[str]]:
    """Search, and return what was asked."""
    run_search(Search(folder, settings(**changes), space, ["task=translation"]), launcher)
    return launcher.asked
