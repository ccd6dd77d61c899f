"""A training under the eyes of a search's pruner."""

import logging
from collections.abc import Mapping
from pathlib import Path

from lmlab.run import PrunedError, Run
from lmlab.search.settings import SearchSettings
from lmlab.search.study import NAME, open_storage, quiet, trial_of

log = logging.getLogger("lmlab")


class PruningRun(Run):
    """Hands points on to a run, and those of the objective's curve to the study as well, for as long as that listens.

    A job may outlive its search: the search started again ends the trial, and this training goes on without a judge.
    """

    def __init__(self, run: Run, *, folder: Path, settings: SearchSettings) -> None:
        import optuna

        assert settings.pruner is not None, "a search without a pruner watches no run"
        assert settings.trial is not None, "a search tells each job that it watches which trial it is"
        self._run = run
        [self._metric] = settings.objectives
        pruner = optuna.pruners.MedianPruner(settings.pruner.num_startup_trials, settings.pruner.num_warmup_steps)
        study = optuna.load_study(study_name=NAME, storage=open_storage(folder), pruner=pruner)
        self._trial = trial_of(study, study.trials[settings.trial])
        self._is_judged = True

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Add the points.

        Raises: PrunedError if the trial is hopeless after this one.
        """
        self._run.log_metrics(metrics, step=step)
        if self._metric not in metrics or not self._is_judged:
            return
        value = metrics[self._metric]
        if self._is_hopeless(value, step):
            raise PrunedError(f"pruned at step {step}: {self._metric} {value:.4f} is worse than the median trial's")

    def _is_hopeless(self, value: float, step: int) -> bool:
        from optuna.exceptions import UpdateFinishedTrialError

        try:
            with quiet():
                self._trial.report(value, step)
                return self._trial.should_prune()
        except UpdateFinishedTrialError:
            log.info("trial %d of the search was ended by another process: the training goes on", self._trial.number)
            self._is_judged = False
            return False
