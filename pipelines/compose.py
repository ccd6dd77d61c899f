"""Write params.yaml: conf/ composed by Hydra with overrides, checked before it is written.

Example: python -m pipelines.compose model=gru training.max_steps=500
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from lmlab.errors import InputError
from lmlab.files import whole_file
from lmlab.text import nearest
from pipelines.command import parser_of, run_command
from pipelines.settings import SECTIONS, validate_params

CONF = Path("conf")
CODE = ("_target_", "hydra.callbacks", "hydra.searchpath")
MOST_JOBS = 10_000


def compose(overrides: Sequence[str], *, conf: Path = CONF) -> dict[str, Any]:
    """conf/ composed with these Hydra overrides, as plain values.

    Raises: InputError that names the override that does not fit and the nearest right one.
    """
    with _hydra(conf):
        _check_overrides(overrides, conf)
        return _hydra_compose(overrides, resolve=True)


def compose_choices(overrides: Sequence[str]) -> list[dict[str, Any]]:
    """Jobs that a search may ask for: one, and for each further choice of a setting one with that choice.

    A setting that is searched in an interval keeps the value of conf/.

    Raises: as `compose`, for every override and choice.
    """
    with _hydra(CONF):
        parsed = [one for one in _check_overrides(overrides, CONF) if not one.is_hydra_override()]
        _check_number([one for one in parsed if one.is_discrete_sweep()])
        fixed = [str(one.input_line) for one in parsed if not one.is_sweep_override()]
        # Sorted: a shuffled range comes in another order each time.
        choices = [sorted(_choice_words(one)) for one in parsed if one.is_discrete_sweep()]
        first = [words[0] for words in choices]
        others = [
            [*first[:place], word, *first[place + 1 :]] for place, words in enumerate(choices) for word in words[1:]
        ]
        return [_hydra_compose([*fixed, *job], resolve=True) for job in (first, *others)]


def compose_jobs(overrides: Sequence[str]) -> list[tuple[list[str], dict[str, Any]]]:
    """The jobs of a sweep in Hydra's order: the overrides of each, and conf/ composed with them.

    Raises: as `compose`, for every override.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    with _hydra(CONF):
        parsed = [one for one in _check_overrides(overrides, CONF) if not one.is_hydra_override()]
        _check_number(parsed)
        [jobs] = BasicSweeper.split_arguments(parsed, None)
        return [(job, _hydra_compose(job, resolve=True)) for job in jobs]


@contextmanager
def _hydra(conf: Path) -> Iterator[None]:
    """Hydra with this folder of settings, in the block.

    Raises: InputError for what Hydra itself refuses.
    """
    from hydra import initialize_config_dir
    from hydra.errors import HydraException

    with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
        try:
            yield
        except HydraException as error:
            raise InputError(f"{error}: no such override can be composed") from None


def _check_number(overrides: Sequence[Any]) -> None:
    """Raise InputError for a sweep of more jobs than anybody waits for."""
    number = 1
    for one in overrides:
        if one.is_sweep_override() and not one.is_discrete_sweep():
            raise InputError(
                f"{one.key_or_group}: an interval is for a search, such as hydra/sweeper=optuna: give values"
            )
        if one.is_sweep_override():
            number *= sum(1 for _ in islice(one.sweep_string_iterator(), MOST_JOBS + 1))
        if number > MOST_JOBS:
            raise InputError(
                f"{one.key_or_group}: with it the sweep has more than {MOST_JOBS:,} jobs: give fewer values"
            )


def common_overrides(overrides: Sequence[str]) -> tuple[str, ...]:
    """The overrides that name one value, as they were given and as Hydra's sweeper hands them to each job."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    single = [one for one in OverridesParser.create().parse_overrides(list(overrides)) if not one.is_sweep_override()]
    given = [str(one.input_line) for one in single]
    return tuple(given + [f"{one.get_key_element()}={one.get_value_element_as_str()}" for one in single])


def _check_overrides(overrides: Sequence[str], conf: Path) -> list[Any]:
    """The parsed overrides; raises InputError for a key or choice that conf/ lacks. Inside a Hydra initialization."""
    parsed = [_parsed(text) for text in overrides]
    groups = {path.relative_to(conf).as_posix() for path in conf.rglob("*") if path.is_dir()}
    for one in parsed:
        _refuse_code(one)
    own = [one for one in parsed if not one.is_add() and not one.key_or_group.startswith("hydra")]
    for one in own:
        if one.key_or_group in groups:
            _check_choice(one, conf)
    known = _known_keys([one for one in own if one.key_or_group in groups])
    for one in own:
        key = one.key_or_group
        if key not in groups and key not in known and not _inside_open_mapping(key, known):
            raise InputError(f"{key}: there is no such setting; {nearest(key, known | set(SECTIONS))}")
    return parsed


def _parsed(text: str) -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, equals, value = text.partition("=")
    if not key or not (equals or key.startswith("~")):
        raise InputError(f"'{text}' is no override: write key=value, without spaces around =, such as seed=2")
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        raise InputError(
            f"{key}: Hydra cannot read the value {value}: text with spaces, commas or brackets stands between quotes, "
            f"as in \"{key}='a, b'\""
        ) from None


def _refuse_code(override: Any) -> None:
    """Raise InputError for an override that names what Hydra is to import and call, or where else it is to look."""
    key, line = override.key_or_group, str(override.input_line)
    for name in CODE:
        if name in line:
            raise InputError(f"{key}: '{name}' says what code is to be run; conf/ says that, and no override")


def _known_keys(of_groups: Sequence[Any]) -> set[str]:
    """The keys of conf/ with these choices of files; where a group has several, those that any of them brings."""
    fixed = [str(one.input_line) for one in of_groups if not one.is_sweep_override()]
    swept = [word for one in of_groups if one.is_sweep_override() for word in _choice_words(one)]
    composed = [_hydra_compose([*fixed, *choice], resolve=False) for choice in ([[word] for word in swept] or [[]])]
    return set().union(*map(_keys, composed))


def _choice_words(override: Any) -> list[str]:
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def _hydra_compose(overrides: Sequence[str], *, resolve: bool) -> dict[str, Any]:
    from hydra import compose as hydra_compose
    from omegaconf import OmegaConf

    try:
        return OmegaConf.to_container(hydra_compose("config", overrides=list(overrides)), resolve=resolve)  # type: ignore[return-value]
    except Exception as error:  # Hydra's own, and for some overrides whatever its code stumbles over
        with_overrides = f" with {' '.join(overrides)}" if overrides else ""
        raise InputError(f"conf/ cannot be composed{with_overrides}: {error}") from None


def _check_choice(override: Any, conf: Path) -> None:
    group, value = override.key_or_group, override.value()
    choices = {path.stem for path in (conf / group).glob("*.yaml")}
    names = override.sweep_string_iterator() if override.is_sweep_override() else [value]
    for name in names:
        if name is None and not override.is_delete():
            raise InputError(f"{group}=null: Hydra leaves a choice out by '~{group}'")
        if name is not None and str(name) not in choices:
            raise InputError(f"{group}: there is no {group} called '{name}'; {nearest(str(name), choices)}")


def _inside_open_mapping(key: str, known: set[str]) -> bool:
    # source.splits and source.columns are null or mappings with keys of the user's.
    return any(key.startswith(f"{name}.") for name in ("source.splits", "source.columns") if name in known)


def _keys(values: Any, prefix: str = "") -> set[str]:
    if not isinstance(values, dict):
        return set()
    found = {f"{prefix}{name}" for name in values}
    return found.union(*(_keys(inner, f"{prefix}{name}.") for name, inner in values.items()))


def params_text(params: dict[str, Any]) -> str:
    """The text of params.yaml, as `dvc exp run` writes it too."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(params))


def write_params(params: dict[str, Any]) -> bool:
    """Write params.yaml in the working folder once the settings are checked; whether that changed it."""
    validate_params(params)
    text, path = params_text(params), Path("params.yaml")
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return True


def main() -> int:
    """Write params.yaml in the working folder."""
    parser = parser_of("compose", __doc__)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides, such as model=lstm")
    has_changed = write_params(compose(parser.options().overrides))
    print("wrote params.yaml" if has_changed else "params.yaml is up to date", file=sys.stderr)
    return 0


if __name__ == "__main__":
    run_command(main)
