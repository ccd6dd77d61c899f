"""The study of a search: kept in a file that several processes may use, and closed up after a kill.

A trial that a kill left running, whose job's process died, or that failed and is to be tried again is set aside: it
does not count, and what it asked for is asked for again before anything new.
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lmlab.errors import InputError
from lmlab.search.settings import SearchSettings
from lmlab.search.space import Space, Value
from lmlab.text import digest_of

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.storages import JournalStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

NAME = "search"
FILE_NAME = "study.log"
ERROR = "error"
"""What went wrong in a trial that failed."""
KILLED = "killed"
"""Whether it failed because a job's process died."""
_SET_ASIDE = "set aside"
_DEFINITION = "definition"


def open_study(folder: Path, settings: SearchSettings, space: Space) -> "Study":
    """The folder's study, created if it is not there yet.

    Raises: InputError if the study that is there looks for something else.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=NAME, storage=open_storage(folder), directions=settings.directions, load_if_exists=True
    )
    wanted = _definition(settings, space)
    found = study.user_attrs.get(_DEFINITION)
    if found is None:
        study.set_user_attr(_DEFINITION, wanted)
    elif found != wanted:
        keys = [key for key in wanted if found.get(key) != wanted[key]]
        raise InputError(f"{folder / FILE_NAME} holds a search with another {', '.join(keys)}: delete {folder}")
    return study


def open_storage(folder: Path) -> "JournalStorage":
    """The storage of the folder's study."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    with warnings.catch_warnings(action="ignore"):
        return JournalStorage(JournalFileBackend(str(folder / FILE_NAME)))


def _definition(settings: SearchSettings, space: Space) -> dict[str, object]:
    kept = settings.model_dump(include={"sampler", "num_startup_trials", "seed", "seeds", "objectives", "pruner"})
    return json.loads(json.dumps({"space": {key: [type(part).__name__, *part] for key, part in space.items()}, **kept}))


def ended_trials(study: "Study") -> "list[FrozenTrial]":
    """The trials that ran to their end, whichever it was; not those that are set aside."""
    aside = set(_numbers_set_aside(study))
    return [trial for trial in study.trials if trial.state.is_finished() and trial.number not in aside]


def is_complete(trial: "FrozenTrial") -> bool:
    """Whether the trial has values; what Optuna calls those of a pruned one is the last point of its curve."""
    from optuna.trial import TrialState

    return trial.state == TrialState.COMPLETE


def trials_to_set_aside(study: "Study", *, retry_failed: bool) -> "list[FrozenTrial]":
    """The trials of earlier tries that reached no end, or failed and are to be tried again."""
    from optuna.trial import TrialState

    running = study.get_trials(states=[TrialState.RUNNING])
    failed = [trial for trial in ended_trials(study) if trial.state == TrialState.FAIL]
    return running + [trial for trial in failed if retry_failed or is_interrupted(trial)]


def is_interrupted(trial: "FrozenTrial") -> bool:
    """Whether a kill ended the trial, or left it running."""
    return not trial.state.is_finished() or KILLED in trial.user_attrs


def set_aside(study: "Study", trials: "Sequence[FrozenTrial]") -> None:
    """Let these trials count for no end, and end those that still run."""
    from optuna.trial import TrialState

    numbers = {*_numbers_set_aside(study), *(trial.number for trial in trials)}
    # Noted first: a kill between the two leaves trials that run, and are set aside once more.
    study.set_user_attr(_SET_ASIDE, sorted(numbers))
    for trial in trials:
        if not trial.state.is_finished():
            study.tell(trial.number, state=TrialState.FAIL)


def _numbers_set_aside(study: "Study") -> list[int]:
    return study.user_attrs.get(_SET_ASIDE, [])


def asked_again(study: "Study", space: Space) -> Iterator[dict[str, Value]]:
    """What the trials that are set aside had asked for, in their order."""
    # A kill may have come before all of it was noted.
    trials, numbers = study.trials, _numbers_set_aside(study)
    return (trials[number].params for number in numbers if trials[number].params.keys() == space.keys())


def trial_of(study: "Study", frozen: "FrozenTrial") -> "Trial":
    """The trial to write to."""
    from optuna.trial import Trial

    return Trial(study, frozen._trial_id)


def sampler_of(settings: SearchSettings, num_ended: int) -> "BaseSampler":
    """The sampler of the next trial, seeded by how many have ended: a search started again asks what it would have."""
    from optuna.samplers import RandomSampler, TPESampler

    seed = int(digest_of([settings.seed, num_ended])[:8], 16)
    if settings.sampler == "tpe":
        return TPESampler(n_startup_trials=settings.num_startup_trials, seed=seed)
    return RandomSampler(seed=seed)


def as_overrides(params: dict[str, object]) -> list[str]:
    """A trial's parameters as overrides."""
    return [f"{key}={value!r}" if isinstance(value, float) else f"{key}={value}" for key, value in params.items()]


def quiet() -> "warnings.catch_warnings":
    """Optuna's advice on experimental functions and on steps told twice is for its developers."""
    return warnings.catch_warnings(action="ignore")
