"""A training under the eyes of a search's pruner."""

from collections.abc import Mapping
from pathlib import Path

from lmlab.run import PrunedError, Run
from lmlab.search.settings import SearchSettings
from lmlab.search.study import NAME, open_storage, quiet, trial_of


class PruningRun(Run):
    """Hands points on to a run, and those of the objective's curve to the study as well."""

    def __init__(self, run: Run, *, folder: Path, settings: SearchSettings) -> None:
        import optuna

        assert settings.pruner is not None, "a search without a pruner watches no run"
        assert settings.trial is not None, "a search tells each job that it watches which trial it is"
        self._run = run
        [self._metric] = settings.objectives
        pruner = optuna.pruners.MedianPruner(settings.pruner.num_startup_trials, settings.pruner.num_warmup_steps)
        study = optuna.load_study(study_name=NAME, storage=open_storage(folder), pruner=pruner)
        self._trial = trial_of(study, study.trials[settings.trial])

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Add the points.

        Raises: PrunedError if the trial is hopeless after this one.
        """
        self._run.log_metrics(metrics, step=step)
        if self._metric not in metrics:
            return
        with quiet():
            self._trial.report(metrics[self._metric], step)
            if self._trial.should_prune():
                value = metrics[self._metric]
                raise PrunedError(f"pruned at step {step}: {self._metric} {value:.4f} is worse than the median trial's")
