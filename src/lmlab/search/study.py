"""The study of a search: kept in a file that several processes may use, and closed up after a kill."""

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from lmlab.errors import InputError
from lmlab.search.settings import SearchSettings
from lmlab.search.space import Space
from lmlab.text import digest_of

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.storages import JournalStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

NAME = "search"
FILE_NAME = "study.log"
INTERRUPTED = "interrupted"
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
    """The trials that ran to their end, whichever it was; not those that a kill interrupted."""
    return [trial for trial in study.trials if trial.state.is_finished() and INTERRUPTED not in trial.user_attrs]


def close_interrupted(study: "Study") -> "list[FrozenTrial]":
    """Mark the trials that a kill left running, so that no sampler and no count takes them for ended ones."""
    from optuna.trial import TrialState

    left = study.get_trials(states=[TrialState.RUNNING])
    for trial in left:
        trial_of(study, trial).set_user_attr(INTERRUPTED, True)
        study.tell(trial.number, state=TrialState.FAIL)
    return left


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
