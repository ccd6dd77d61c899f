"""An experiment of conf/ that gives certain settings and says only what differs from conf/config.yaml."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from lmlab.config import read_params
from lmlab.errors import InputError
from pipelines.compose import CONF, compose
from pipelines.settings import tracked

GROUPS = ("task", "model", "training", "training/optimizer", "source", "cleaning", "tokenizer", "evaluation", "export")
"""Groups whose files an experiment may pick, those that others follow first."""
PLAIN = ("~experiment",)

DERIVED = "depends_on"

Key = tuple[str, ...]
SURPLUS = 1000


class Surplus(dict):
    """A wanted mapping whose counterpart has keys too many."""


class Experiment(NamedTuple):
    """The files that are picked from groups, and the values that still differ, by their keys."""

    choices: dict[str, str]
    values: dict[Key, Any]

    def without_derived(self) -> "Experiment":
        """Without the values that conf/ usually takes from other settings."""
        return self._replace(values={key: value for key, value in self.values.items() if key[-1] != DERIVED})


def smallest_experiment(wanted: Mapping[str, Any]) -> Experiment:
    """The experiment that gives these settings with few differences: each group's nearest file, then values."""
    choices: dict[str, str] = {}
    for group in GROUPS:
        counts = {choice: _count(wanted, {**choices, group: choice}) for choice in _files(group, wanted)}
        nearest = min(counts, key=lambda choice: counts[choice], default=None)
        if nearest is not None and counts[nearest] < _count(wanted, choices):
            choices[group] = nearest
    values = {
        key: dict(value) if isinstance(value, Surplus) else value
        for key, value in _differing(wanted, _composed(choices))
    }
    return Experiment(choices, values)


def experiment_text(experiment: Experiment, *, comment: str) -> str:
    """The experiment as the text of its file."""
    import yaml

    values: dict[str, Any] = {}
    for key, value in experiment.values.items():
        inner = values
        for part in key[:-1]:
            inner = inner.setdefault(part, {})
        inner[key[-1]] = value
    lines = ["# @package _global_", f"# {comment}"]
    if experiment.choices:
        lines += ["defaults:", *(f"  - override /{group}: {choice}" for group, choice in experiment.choices.items())]
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True) if values else ""
    return "\n".join(lines) + "\n" + text


def _files(group: str, wanted: Mapping[str, Any]) -> list[str]:
    """The files of a group; of a group whose part has a name, those that pick that part."""
    name = wanted[group].get("name") if "/" not in group else None
    files = sorted((CONF / group).glob("*.yaml"))
    return [path.stem for path in files if name is None or read_params(path).get("name", name) == name]


def _count(wanted: Mapping[str, Any], choices: Mapping[str, str]) -> float:
    """How many values differ; what these files have too much cannot be taken away by values."""
    try:
        found = _composed(choices)
    except InputError:
        # A file of a group may need what another choice lacks.
        return math.inf
    differing = list(_differing(wanted, found))
    return len(differing) + sum(SURPLUS for _, value in differing if isinstance(value, Surplus))


def _composed(choices: Mapping[str, str]) -> dict[str, Any]:
    return tracked(compose([*PLAIN, *(f"{group}={choice}" for group, choice in choices.items())]))


def _differing(wanted: Any, found: Any, key: Key = ()) -> Iterator[tuple[Key, Any]]:
    """The keys whose values differ, with the wanted ones; a key that should not be there counts as its mapping."""
    if not isinstance(wanted, Mapping) or not isinstance(found, Mapping):
        if wanted != found or type(wanted) is not type(found):
            yield key, wanted
        return
    if found.keys() - wanted.keys():
        yield key, Surplus(wanted)
        return
    for name, value in wanted.items():
        if name not in found:
            yield (*key, name), value
        else:
            yield from _differing(value, found[name], (*key, name))
