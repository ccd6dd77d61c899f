"""The sweeper `optuna`: a search for settings, by lmlab.search.

Hydra finds it here, and imports this file at each start: what is heavy is imported when a search begins.
"""

from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class OptunaSweeper(Sweeper):
    """Asks Optuna which settings to try, and lets the launcher run them."""

    def __init__(self, **settings: Any) -> None:
        self._values = {
            key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for key, value in settings.items()
        }

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        self._context, self._config = hydra_context, config
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Search the settings that have several values; the others are the same for all jobs."""
        from lmlab.config import validate
        from lmlab.search.run import Search, run_search
        from lmlab.search.settings import SearchSettings, check_objectives

        overrides = overrides_parser(self._context.config_loader).parse_overrides(arguments)
        search = Search(
            folder=Path(str(self._config.hydra.sweep.dir)),
            settings=validate(SearchSettings, self._values, path="hydra.sweeper"),
            space={one.get_key_element(): part_of(one, self._config) for one in overrides if one.is_sweep_override()},
            fixed=[str(one.input_line) for one in overrides if not one.is_sweep_override()],
        )
        # Where the task is searched too, its jobs have other metrics.
        if not any(key.split(".")[0] in ("task", "experiment") for key in search.space):
            check_objectives(search.settings, self._config.task.metrics)
        num_launched = 0

        def launch(jobs: Any) -> list:
            nonlocal num_launched
            results = self._launcher.launch(jobs, initial_job_idx=num_launched)
            num_launched += len(jobs)
            return [result.return_value for result in results]

        run_search(search, launch)


def overrides_parser(config_loader: ConfigLoader | None) -> OverridesParser:
    """Hydra's parser, but for intervals between whole numbers, of which it makes real ones."""
    parser = OverridesParser.create(config_loader)
    parser.functions.functions["interval"] = _interval
    return parser


def _interval(start: int | float, end: int | float) -> IntervalSweep:
    return IntervalSweep(start=start, end=end)


def part_of(override: Override, config: DictConfig) -> Any:
    """The choices or the interval that the override names; `config` are the settings as they stand now.

    Raises: InputError for an interval of whole numbers on a setting that is a real one.
    """
    from lmlab.errors import InputError
    from lmlab.search.space import Choices, Interval

    value, key = override.value(), override.key_or_group
    if not isinstance(value, IntervalSweep):
        # A shuffled range comes in another order each time; the order of choices means nothing.
        return Choices(tuple(dict.fromkeys(sorted(override.sweep_string_iterator(), key=_as_number))))
    low, high = value.start, value.end
    assert low is not None, "the grammar sees to both bounds"
    assert high is not None, "the grammar sees to both bounds"
    if isinstance(low, int) and isinstance(high, int) and isinstance(OmegaConf.select(config, key), float):
        raise InputError(
            f"{key}: interval({low},{high}) draws whole numbers, and this setting is a real one: "
            f"write interval({float(low)},{float(high)})"
        )
    return Interval(low, high, "log" in value.tags)


def _as_number(text: str) -> tuple[float, str]:
    try:
        return float(text), ""
    except ValueError:
        return float("inf"), text
