"""Settings: frozen, typed, without defaults; every fault is said with its full path and the nearest right key.

Values stand in conf/ alone. params.yaml is conf/ composed by Hydra; stages read it and never compose.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lmlab.errors import InputError
from lmlab.text import nearest

Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]


class Settings(BaseModel):
    """A section of the settings, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PartSettings(Settings):
    """Settings of a registered part; the name picks it."""

    name: str


SettingsT = TypeVar("SettingsT", bound=Settings)


def validate(settings_class: type[SettingsT], values: object, *, path: str) -> SettingsT:
    """The typed settings from plain values of the section at this path.

    Raises: InputError that names the first wrong key by its full path, the value found and what is allowed.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{path}: expected a mapping of settings, found {values!r}")
    try:
        return settings_class.model_validate(dict(values))
    except ValidationError as error:
        raise InputError(_explain(error, settings_class, values, path)) from None


def _explain(error: ValidationError, settings_class: type[Settings], values: Mapping, path: str) -> str:
    # A misspelt key shows up twice, as unknown and as missing: the unknown one says more.
    faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    fault = faults[0]
    where = ".".join([path, *_keys_along(values, fault["loc"])])
    if fault["type"] == "extra_forbidden":
        allowed = _fields_at(settings_class, fault["loc"][:-1])
        return f"{where}: there is no such setting; {nearest(str(fault['loc'][-1]), allowed)}"
    if fault["type"] == "missing":
        return f"{where}: this setting is missing; compose params.yaml again with `python -m pipelines.compose`"
    message = fault["msg"].removeprefix("Value error, ")
    found = "" if isinstance(fault["input"], Mapping) else f", found {fault['input']!r}"
    return f"{where}: {message}{found}"


def _keys_along(values: Any, steps: tuple[int | str, ...]) -> list[str]:
    """The steps that are keys of the values; pydantic also names the kind that it took for a choice of settings."""
    keys = []
    for index, step in enumerate(steps):
        is_key = not isinstance(values, Mapping) or step in values
        if is_key or index == len(steps) - 1:
            keys.append(str(step))
            values = values.get(step) if isinstance(values, Mapping) else None
    return keys


def _fields_at(settings_class: type[Settings], steps: tuple[int | str, ...]) -> list[str]:
    candidates: list[type[Settings]] = [settings_class]
    for step in steps:
        fields = [kind.model_fields[str(step)] for kind in candidates if str(step) in kind.model_fields]
        if fields:
            candidates = [found for field in fields for found in _classes_in(field.annotation)]
        else:  # The step is the name of the kind that was chosen.
            candidates = [kind for kind in candidates if str(step) in _literals(kind)]
    return [name for kind in candidates for name in kind.model_fields]


def _literals(kind: type[Settings]) -> tuple:
    field = kind.model_fields.get("name")
    return getattr(field.annotation, "__args__", ()) if field else ()


def _classes_in(annotation: Any) -> list[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [found for inner in getattr(annotation, "__args__", ()) for found in _classes_in(inner)]


def read_params(path: Path) -> dict[str, Any]:
    """The sections of a params.yaml as plain values.

    Raises: InputError if the file is missing, is not YAML or is not a mapping.
    """
    # PyYAML reads 1e-4 as a string; OmegaConf's loader does not.
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        values = OmegaConf.to_container(OmegaConf.load(path))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: write it with `python -m pipelines.compose`") from None
    except (YAMLError, OmegaConfBaseException, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is not valid YAML: {error}; write it again with `python -m pipelines.compose`"
        ) from None
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no settings: write it again with `python -m pipelines.compose`")
    return {str(key): value for key, value in values.items()}
