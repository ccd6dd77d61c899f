"""A search from its first to its last trial, whoever runs the jobs."""

import logging
import math
import statistics
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock, Timeout

from lmlab.errors import InputError
from lmlab.run import Outcome
from lmlab.search.plots import write_pages
from lmlab.search.settings import SearchSettings
from lmlab.search.space import Space, check_space, distributions, grid, num_combinations
from lmlab.search.study import (
    ERROR,
    KILLED,
    as_overrides,
    asked_again,
    ended_trials,
    is_complete,
    is_interrupted,
    open_study,
    quiet,
    sampler_of,
    set_aside,
    trials_to_set_aside,
)
from lmlab.text import nearest

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

log = logging.getLogger("lmlab")

Launch = Callable[[Sequence[list[str]]], Sequence[Outcome]]
"""Runs jobs, each given by its overrides, and returns how they ended, in their order."""


class Search(NamedTuple):
    """What is looked for, where the study is kept, and the overrides that all jobs share."""

    folder: Path
    settings: SearchSettings
    space: Space
    fixed: Sequence[str]


def run_search(search: Search, launch: Launch) -> None:
    """Ask, launch and tell until enough trials have ended; then write what was found.

    Raises: InputError if the search does not fit its space or its study, or another process works on it.
    """
    _check(search)
    if search.settings.dry_run:
        print(_dry_text(search))
        return
    search.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(search.folder / "search.lock", timeout=0), quiet():
            study = open_study(search.folder, search.settings, search.space)
            aside = trials_to_set_aside(study, retry_failed=search.settings.retry_failed)
            log.info(_progress_text(search, study, aside))
            set_aside(study, aside)
            while _go_on(search, study):
                _run_batch(search, study, launch)
            print(write_pages(search.folder, study, search.settings, search.fixed))
    except Timeout:
        raise InputError(f"another process runs the search in {search.folder}: wait for it or stop it") from None


def _check(search: Search) -> None:
    check_space(search.space)
    if search.settings.sampler == "grid":
        grid(search.space)
    if search.settings.seeds and "seed" in search.space:
        raise InputError("seed: it is searched and averaged over; leave it out of the search, or set seeds to null")


def _dry_text(search: Search) -> str:
    if not (search.folder / "study.log").exists():
        return f"search in {search.folder}: nothing has run yet, {search.settings.num_trials} trials to go"
    with quiet():
        study = open_study(search.folder, search.settings, search.space)
        aside = trials_to_set_aside(study, retry_failed=search.settings.retry_failed)
        return _progress_text(search, study, aside)


def _progress_text(search: Search, study: "Study", aside: "Sequence[FrozenTrial]") -> str:
    """How far the search is once these trials are set aside."""
    again = {trial.number for trial in aside}
    ended = [trial for trial in ended_trials(study) if trial.number not in again]
    num_interrupted = len([trial for trial in aside if is_interrupted(trial)])
    kinds = {"interrupted": num_interrupted, "failed": len(aside) - num_interrupted}
    among = "".join(f", {count} {kind} ones among them" for kind, count in kinds.items() if count)
    has_failed = any(ERROR in trial.user_attrs for trial in ended)
    hint = "; failed trials are tried again with --retry-failed" if has_failed else ""
    num_ended, wanted = len(ended), search.settings.num_trials
    progress = f"{num_ended} of {wanted} trials have ended, {max(0, wanted - num_ended)} to go"
    return f"search in {search.folder}: {progress}{among}{hint}"


def _num_untried(search: Search, ended: "Sequence[FrozenTrial]") -> float:
    return num_combinations(search.space) - len({tuple(sorted(trial.params.items())) for trial in ended})


def _go_on(search: Search, study: "Study") -> bool:
    ended = ended_trials(study)
    if _num_untried(search, ended) <= 0:
        log.info("every combination has been tried")
        return False
    return len(ended) < search.settings.num_trials


def _run_batch(search: Search, study: "Study", launch: Launch) -> None:
    ended, settings = ended_trials(study), search.settings
    size = int(min(settings.parallel_trials, settings.num_trials - len(ended), _num_untried(search, ended)))
    trials = [_ask(search, study, ended, len(ended) + place) for place in range(size)]
    fresh = [trial for trial in trials if not _is_repeat(study, trial, ended)]
    for trial, outcomes in zip(fresh, _outcomes(search, fresh, launch), strict=True):
        _tell(search, study, trial, outcomes)


def _ask(search: Search, study: "Study", ended: "Sequence[FrozenTrial]", num_ended: int) -> "Trial":
    from optuna.samplers import PartialFixedSampler

    study.sampler = sampler_of(search.settings, num_ended)
    running = [trial for trial in study.trials if not trial.state.is_finished()]
    taken = [trial.params for trial in [*ended, *running]]
    wanted = chain(asked_again(study, search.space), grid(search.space) if search.settings.sampler == "grid" else ())
    chosen = next((params for params in wanted if params not in taken), None)
    if chosen is not None:
        study.sampler = PartialFixedSampler(chosen, study.sampler)
    trial = study.ask(distributions(search.space))
    _take_over_curve(study, trial)
    return trial


def _take_over_curve(study: "Study", trial: "Trial") -> None:
    # A training that was interrupted goes on from its checkpoint, and tells only of what comes after.
    for earlier in study.trials:
        if earlier.params == trial.params and earlier.number != trial.number:
            for step, value in earlier.intermediate_values.items():
                trial.report(value, step)


def _is_repeat(study: "Study", trial: "Trial", ended: "Sequence[FrozenTrial]") -> bool:
    """Give the trial the end of an earlier one with the same parameters, if there is one."""
    same = next((one for one in ended if one.params == trial.params), None)
    if same is None:
        return False
    log.info("trial %d repeats trial %d and takes its result over", trial.number, same.number)
    for key, value in same.user_attrs.items():
        trial.set_user_attr(key, value)
    study.tell(trial, values=same.values if is_complete(same) else None, state=same.state)
    return True


def _outcomes(search: Search, trials: "Sequence[Trial]", launch: Launch) -> list[list[Outcome]]:
    """How the jobs of each trial ended: the first seeds of all trials run first, for a pruned trial ends there."""
    seeds = search.settings.seeds or [None]
    found: list[list[Outcome]] = [[] for _ in trials]
    for place, seed in enumerate(seeds):
        going = [number for number, outcomes in enumerate(found) if all(one.state == "FINISHED" for one in outcomes)]
        jobs = [_job(search, trials[number], seed, is_first=place == 0) for number in going]
        for number, outcome in zip(going, launch(jobs) if jobs else [], strict=True):
            found[number].append(outcome)
    return found


def _job(search: Search, trial: "Trial", seed: int | None, *, is_first: bool) -> list[str]:
    own = as_overrides(trial.params) + ([] if seed is None else [f"seed={seed}"])
    watched = [f"hydra.sweeper.trial={trial.number}"] if search.settings.pruner and is_first else []
    return [*search.fixed, *own, *watched]


def _tell(search: Search, study: "Study", trial: "Trial", outcomes: Sequence[Outcome]) -> None:
    from optuna.trial import TrialState

    if any(outcome.state == "PRUNED" for outcome in outcomes):
        study.tell(trial, state=TrialState.PRUNED)
        return
    errors = [outcome.error for outcome in outcomes if outcome.state in ("FAILED", "KILLED")]
    values = [] if errors else [_mean(name, outcomes) for name in search.settings.objectives]
    if errors or not all(math.isfinite(value) for value in values):
        trial.set_user_attr(ERROR, errors[0] if errors else "not finite")
        if any(outcome.state == "KILLED" for outcome in outcomes):
            trial.set_user_attr(KILLED, True)
        study.tell(trial, state=TrialState.FAIL)
        return
    study.tell(trial, values=values)


def _mean(name: str, outcomes: Sequence[Outcome]) -> float:
    for outcome in outcomes:
        if name not in outcome.metrics:
            raise InputError(
                f"hydra.sweeper.objectives: no job has the metric {name}; {nearest(name, outcome.metrics)}"
            )
    return statistics.fmean(outcome.metrics[name] for outcome in outcomes)
