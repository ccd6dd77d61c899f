"""The sweeper `optuna`: a search for settings, by lmlab.search.

Hydra finds it here, and imports this file at each start: what is heavy is imported when a search begins.
"""

from pathlib import Path
from typing import Any

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
        from lmlab.search.settings import SearchSettings

        parser = OverridesParser.create(config_loader=self._context.config_loader)
        overrides = parser.parse_overrides(arguments)
        search = Search(
            folder=Path(str(self._config.hydra.sweep.dir)),
            settings=validate(SearchSettings, self._values, path="hydra.sweeper"),
            space={one.get_key_element(): _part(one) for one in overrides if one.is_sweep_override()},
            fixed=[str(one.input_line) for one in overrides if not one.is_sweep_override()],
        )
        num_launched = 0

        def launch(jobs: Any) -> list:
            nonlocal num_launched
            results = self._launcher.launch(jobs, initial_job_idx=num_launched)
            num_launched += len(jobs)
            return [result.return_value for result in results]

        run_search(search, launch)


def _part(override: Override) -> Any:
    from lmlab.search.space import Choices, Interval

    value = override.value()
    if isinstance(value, IntervalSweep):
        return Interval(value.start, value.end, "log" in value.tags)  # type: ignore[arg-type]
    # A shuffled range comes in another order each time; the order of choices means nothing.
    return Choices(tuple(sorted(override.sweep_string_iterator(), key=_as_number)))


def _as_number(text: str) -> tuple[float, str]:
    try:
        return float(text), ""
    except ValueError:
        return float("inf"), text
