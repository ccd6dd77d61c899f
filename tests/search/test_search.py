import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lmlab.errors import InputError
from lmlab.run import Outcome, PrunedError, Run
from lmlab.search.pruning import PruningRun
from lmlab.search.run import Search, run_search
from lmlab.search.settings import SearchSettings
from lmlab.search.space import Choices
from lmlab.search.study import ended_trials, open_study, quiet, set_aside, trials_to_set_aside
from tests.search.searching import CONTINUOUS, FINITE, Killed, Launcher, search_in, settings

CURVE = "validation_bits_per_byte"
DIED = Outcome("KILLED", {}, "its process died")
SPACES = {"tpe": CONTINUOUS, "random": CONTINUOUS, "grid": FINITE}


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("sampler", SPACES)
def test_a_search_killed_at_any_moment_asks_what_an_undisturbed_one_asks(sampler: str, tmp_path: Path) -> None:
    undisturbed = search_in(tmp_path / "whole", SPACES[sampler], Launcher(), sampler=sampler)
    assert len(undisturbed) == 8
    for first_kill, second_kill in ((0, 2), (3, 1), (5, 3), (7, 1)):
        folder = tmp_path / f"{first_kill} {second_kill}"
        asked = []
        for kill in (first_kill, second_kill, None):
            launcher = Launcher(killed_at=kill)
            try:
                search_in(folder, SPACES[sampler], launcher, sampler=sampler)
            except Killed:
                assert kill is not None
            asked += launcher.asked
        assert asked == undisturbed


def test_a_search_finds_the_minimum_better_than_chance(tmp_path: Path) -> None:
    rates = [float(job[1].partition("=")[2]) for job in search_in(tmp_path, CONTINUOUS, Launcher(), num_trials=30)]
    assert min(abs(rate - 0.3) for rate in rates[10:]) < 0.02


def test_a_larger_number_of_trials_lets_an_ended_search_go_on(tmp_path: Path) -> None:
    first = search_in(tmp_path, CONTINUOUS, Launcher(), num_trials=3)
    again = search_in(tmp_path, CONTINUOUS, Launcher(), num_trials=3)
    more = search_in(tmp_path, CONTINUOUS, Launcher(), num_trials=5)
    assert [len(first), len(again), len(more)] == [3, 0, 2]
    assert first + more == search_in(tmp_path / "whole", CONTINUOUS, Launcher(), num_trials=5)


def test_a_finite_space_ends_when_every_combination_was_tried_and_repeats_train_nothing(tmp_path: Path) -> None:
    asked = search_in(tmp_path, FINITE, Launcher(), sampler="random", num_trials=1000)
    assert len(asked) == len({tuple(job) for job in asked}) == 8
    assert len(_rows(tmp_path)) > 8


def test_overrides_that_all_jobs_share_come_first_and_values_are_whole(tmp_path: Path) -> None:
    [job] = search_in(tmp_path, CONTINUOUS, Launcher(), num_trials=1)
    assert job[0] == "task=translation"
    key, _, value = job[1].partition("=")
    assert key == "rate"
    assert repr(float(value)) == value
    assert job[2] in ("model=lstm", "model=gru")


def test_a_trial_is_the_mean_over_its_seeds(tmp_path: Path) -> None:
    asked = search_in(tmp_path, FINITE, Launcher(), sampler="grid", num_trials=2, seeds=[1, 5])
    assert [job[-1] for job in asked] == ["seed=1", "seed=5"] * 2
    # width 8: (8 - 16)^2 plus the mean of 1 and 5.
    assert float(_rows(tmp_path)[0]["loss"]) == 64 + 3


def test_failed_and_diverged_trials_are_told_as_failed(tmp_path: Path) -> None:
    ends = iter([Outcome("FAILED", {}, "too high a rate"), Outcome("FINISHED", {"loss": math.nan}, None)])

    def launch(jobs: Sequence[list[str]]) -> list[Outcome]:
        return [next(ends) for _ in jobs]

    with pytest.raises(InputError, match=r"no trial of the search has completed: .*trials\.csv"):
        run_search(Search(tmp_path, settings(num_trials=2), CONTINUOUS, []), launch)
    assert [(row["state"], row["error"]) for row in _rows(tmp_path)] == [
        ("fail", "too high a rate"),
        ("fail", "not finite"),
    ]


@pytest.mark.parametrize(
    ("end", "retry_failed", "num_asked"),
    [(Outcome("FAILED", {}, "no disk"), False, 0), (Outcome("FAILED", {}, "no disk"), True, 1), (DIED, False, 1)],
)
def test_a_trial_is_tried_again_if_its_process_died_or_if_it_failed_and_that_is_asked_for(
    end: Outcome, retry_failed: bool, num_asked: int, tmp_path: Path
) -> None:
    first = search_in(tmp_path, CONTINUOUS, Launcher(ends={1: end}), num_trials=4)
    assert len(first) == 4
    assert _rows(tmp_path)[1]["error"] == end.error
    again = search_in(tmp_path, CONTINUOUS, Launcher(), num_trials=4, retry_failed=retry_failed)
    assert again == first[1:2] * num_asked
    assert [row["state"] for row in _rows(tmp_path)].count("complete") == 3 + num_asked
    assert len(_rows(tmp_path)) == 4
    assert len(search_in(tmp_path, CONTINUOUS, Launcher(), num_trials=5)) == 1


def test_a_search_says_which_trials_it_tries_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = Outcome("FAILED", {}, "no disk")
    search_in(tmp_path, CONTINUOUS, Launcher(ends={0: failed, 1: failed, 2: DIED}), num_trials=4)
    capsys.readouterr()
    for retry_failed, said in (
        (False, "3 of 4 trials have ended, 1 to go, 1 interrupted ones among them; failed trials are tried again with"),
        (True, "1 of 4 trials have ended, 3 to go, 1 interrupted ones among them, 2 failed ones among them\n"),
    ):
        search_in(tmp_path, CONTINUOUS, Launcher(), num_trials=4, dry_run=True, retry_failed=retry_failed)
        assert said in capsys.readouterr().out


def _watch(folder: Path, pruned: SearchSettings, trial: int, run: Run) -> PruningRun:
    return PruningRun(run, folder=folder, settings=pruned.model_copy(update={"trial": trial}))


def test_a_pruned_first_seed_ends_its_trial(tmp_path: Path) -> None:
    asked = []

    def launch(jobs: Sequence[list[str]]) -> list[Outcome]:
        _watch(tmp_path, pruned, len(asked), Run()).log_metrics({CURVE: 1.5}, step=10)
        asked.extend(jobs)
        return [Outcome("PRUNED", {}, None) for _ in jobs]

    pruned = settings(
        num_trials=1,
        seeds=[1, 2],
        objectives=[f"{CURVE}:minimize"],
        pruner={"num_startup_trials": 1, "num_warmup_steps": 0},
    )
    with pytest.raises(InputError, match="no trial of the search has completed"):
        run_search(Search(tmp_path, pruned, CONTINUOUS, []), launch)
    assert [job[-2:] for job in asked] == [["seed=1", "hydra.sweeper.trial=0"]]
    assert (_rows(tmp_path)[0]["state"], _rows(tmp_path)[0][CURVE]) == ("pruned", "")


def test_a_pruned_combination_that_is_drawn_again_stays_pruned(tmp_path: Path) -> None:
    def launch(jobs: Sequence[list[str]]) -> list[Outcome]:
        return [_train(*(word.partition("=")[2] for word in job)) for job in jobs]

    def _train(width: str, trial: str) -> Outcome:
        run = _watch(tmp_path, pruned, int(trial), Run())
        try:
            for step in (10, 20):
                run.log_metrics({CURVE: float(width)}, step=step)
        except PrunedError:
            return Outcome("PRUNED", {}, None)
        return Outcome("FINISHED", {CURVE: float(width)}, None)

    pruned = settings(
        sampler="random",
        num_trials=12,
        objectives=[f"{CURVE}:minimize"],
        pruner={"num_startup_trials": 1, "num_warmup_steps": 0},
    )
    run_search(Search(tmp_path, pruned, {"width": Choices(("8", "16", "32", "64"))}, []), launch)
    ends = {(row["width"], row["state"]) for row in _rows(tmp_path)}
    assert len(ends) == len({width for width, _ in ends})
    pruned_rows = [row["width"] for row in _rows(tmp_path) if row["state"] == "pruned"]
    assert len(pruned_rows) > len(set(pruned_rows)) > 0


class Kept(Run):
    """Keeps the points."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        assert metrics
        self.steps.append(step)


def test_a_training_worse_than_the_median_ends_after_its_warm_up(tmp_path: Path) -> None:
    pruned = settings(objectives=[f"{CURVE}:minimize"], pruner={"num_startup_trials": 2, "num_warmup_steps": 15})
    with quiet():
        study = open_study(tmp_path, pruned, CONTINUOUS)
        for level in (2.0, 2.2):
            trial = study.ask()
            for step in (10, 20, 30):
                trial.report(level, step)
            study.tell(trial, level)
        hopeless = study.ask()
    run = Kept()
    watched = _watch(tmp_path, pruned, hopeless.number, run)
    watched.log_metrics({CURVE: 9.0}, step=10)
    watched.log_metrics({"train_nats_per_token": 9.0}, step=20)
    with pytest.raises(PrunedError, match="pruned at step 20: validation_bits_per_byte 9.0000 is worse"):
        watched.log_metrics({CURVE: 9.0}, step=20)
    assert run.steps == [10, 20, 20]


def test_a_training_that_outlives_its_killed_search_goes_on_unjudged(tmp_path: Path) -> None:
    watching = settings(objectives=[f"{CURVE}:minimize"], pruner={"num_startup_trials": 0, "num_warmup_steps": 0})
    with quiet():
        study = open_study(tmp_path, watching, CONTINUOUS)
        trial = study.ask()
        run = Kept()
        watched = _watch(tmp_path, watching, trial.number, run)
        watched.log_metrics({CURVE: 1.0}, step=10)
        set_aside(study, trials_to_set_aside(study, retry_failed=False))
    for step in (20, 30):
        watched.log_metrics({CURVE: 1.0}, step=step)
    assert run.steps == [10, 20, 30]


def test_several_objectives_give_a_front(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search_in(tmp_path, FINITE, Launcher(), sampler="grid", objectives=["loss:minimize", "parameters:maximize"])
    # Loss and parameters rise together here, so none is beaten in both.
    assert capsys.readouterr().out.count("best: trial") == 8
    assert {path.name for path in tmp_path.glob("*.svg")} >= {"pareto.svg", "history_loss.svg"}


def test_what_was_found_is_written_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search_in(tmp_path, FINITE, Launcher(), sampler="grid")
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "best: trial 2, loss 0: task=translation width=16 model=lstm"
    assert said.splitlines()[0] in (tmp_path / "best.md").read_text(encoding="utf-8")
    for name in ("history_loss.svg", "importances_loss.svg"):
        assert ElementTree.parse(tmp_path / name).getroot().tag.endswith("svg")
    assert len(_rows(tmp_path)) == 8


def test_a_dry_run_says_what_is_to_do_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "search"
    assert search_in(folder, CONTINUOUS, Launcher(), dry_run=True) == []
    assert "nothing has run yet, 8 trials to go" in capsys.readouterr().out
    assert not folder.exists()
    with pytest.raises(Killed):
        search_in(folder, CONTINUOUS, Launcher(killed_at=3))
    for _ in range(2):
        search_in(folder, CONTINUOUS, Launcher(), dry_run=True)
        assert "3 of 8 trials have ended, 5 to go, 1 interrupted" in capsys.readouterr().out


def test_a_folder_with_another_search_is_refused(tmp_path: Path) -> None:
    search_in(tmp_path, CONTINUOUS, Launcher(), num_trials=1)
    with pytest.raises(InputError, match="holds a search with another space"):
        search_in(tmp_path, FINITE, Launcher())
    with pytest.raises(InputError, match="holds a search with another objectives"):
        search_in(tmp_path, CONTINUOUS, Launcher(), objectives=["loss:maximize"])


def test_an_objective_that_no_job_has_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no job has the metric los; did you mean 'loss'"):
        search_in(tmp_path, CONTINUOUS, Launcher(), objectives=["los:minimize"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_trials": 0}, "num_trials: .* greater than 0"),
        ({"sampler": "tpee"}, "sampler: "),
        ({"seeds": []}, "seeds: .* at least 1"),
        ({"objectives": []}, "objectives: .* at least 1"),
        ({"objectives": ["loss"]}, r"objectives: write each metric once, as in \[validation_bits_per_byte:minimize,"),
        ({"objectives": ["loss:minimize", "loss:maximize"]}, "objectives: write each metric once"),
        (
            {"pruner": {"num_startup_trials": 1, "num_warmup_steps": 0}},
            "a pruner needs one objective that training tells of",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        settings(**changes)


def test_a_seed_is_not_searched_and_averaged_over(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="seed: it is searched and averaged over"):
        search_in(tmp_path, {"seed": FINITE["width"]}, Launcher(), seeds=[1])


def test_trials_that_a_kill_left_do_not_count(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        search_in(tmp_path, CONTINUOUS, Launcher(killed_at=2))
    with quiet():
        assert len(ended_trials(open_study(tmp_path, settings(), CONTINUOUS))) == 2
