"""Settings: frozen, typed, without defaults; every fault is said with its full path and the nearest right key.

Values stand in conf/ alone. params.yaml is conf/ composed by Hydra; stages read it and never compose.
"""

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lmlab.errors import InputError
from lmlab.text import nearest, shown

Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]


class Settings(BaseModel):
    """A section of the settings, or a part of one."""

    # Built when first used: a stage needs few of them, and each takes time to build.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class PartSettings(Settings):
    """Settings of a registered part; the name picks it."""

    name: str


class WatchedSettings(PartSettings):
    """Settings of a part that may read something outside the project's code."""

    depends_on: str | None
    """The path that DVC watches for a change of what the part gives."""


SettingsT = TypeVar("SettingsT", bound=Settings)

KINDS = {
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "model": "must be a section of settings",
}
"""What to say of a value of another kind, by the first word of pydantic's name for the fault."""

MOST_BYTES = 1 << 20
"""Of a file of settings; OmegaConf takes a minute for more."""


def validate(settings_class: type[SettingsT], values: object, *, path: str) -> SettingsT:
    """The typed settings from plain values of the section at this path.

    Raises: InputError that names the first wrong key by its full path, the value found and what is allowed.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{path}: expected a mapping of settings, found {shown(values)}")
    try:
        return settings_class.model_validate(dict(values))
    except ValidationError as error:
        raise InputError(_explain(error, settings_class, path)) from None


def _explain(error: ValidationError, settings_class: type[Settings], path: str) -> str:
    # A misspelt key shows up twice, as unknown and as missing: the unknown one says more.
    faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    fault = faults[0]
    where = ".".join([path, *_place(settings_class, fault["loc"]).keys])
    if fault["type"] == "extra_forbidden":
        allowed = [name for kind in _place(settings_class, fault["loc"][:-1]).kinds for name in kind.model_fields]
        return f"{where}: there is no such setting; {nearest(str(fault['loc'][-1]), allowed)}"
    if fault["type"] == "missing":
        return f"{where}: this setting is missing; compose params.yaml again with `python -m pipelines.compose`"
    is_of_another_kind = fault["type"].endswith(("_parsing", "_parsing_size", "_type", "_from_float"))
    message = KINDS.get(fault["type"].partition("_")[0]) if is_of_another_kind else None
    message = message or fault["msg"].removeprefix("Value error, ").replace("Input should be ", "must be ", 1)
    found = "" if isinstance(fault["input"], Mapping) else f", found {shown(fault['input'])}"
    return f"{where}: {message}{found}"


class _Place(NamedTuple):
    """Where a fault is: its keys, and the settings classes that its section may be of."""

    keys: list[str]
    kinds: list[type[Settings]]


def _place(settings_class: type[Settings], steps: tuple[int | str, ...]) -> _Place:
    """The steps without the names of chosen kinds, which pydantic puts between the keys of a choice of settings."""
    keys: list[str] = []
    kinds = [settings_class]
    for step in map(str, steps):
        if len(kinds) > 1 and (chosen := [kind for kind in kinds if step in _literals(kind)]):
            kinds = chosen
        else:
            keys.append(step)
            fields = [kind.model_fields[step] for kind in kinds if step in kind.model_fields]
            kinds = [found for field in fields for found in _classes_in(field.annotation)]
    return _Place(keys, kinds)


def _literals(kind: type[Settings]) -> tuple:
    field = kind.model_fields.get("name")
    return getattr(field.annotation, "__args__", ()) if field else ()


def _classes_in(annotation: Any) -> list[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [found for inner in getattr(annotation, "__args__", ()) for found in _classes_in(inner)]


def _yaml_text(path: Path) -> str:
    """The file's text, which stays as small as it is when it is read.

    Raises: ValueError for a file that is too large, or refers to parts of itself.
    """
    import yaml

    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
    text = path.read_text(encoding="utf-8")
    if "*" in text and any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
        # Parts that refer to parts that refer to parts spell out billions in a few lines.
        raise ValueError("it refers to parts of itself (*name), which must be written out")
    return text


def read_params(path: Path) -> dict[str, Any]:
    """The sections of a params.yaml as plain values.

    Raises: InputError if the file is missing, is not YAML or is not a mapping.
    """
    # PyYAML reads 1e-4 as a string; OmegaConf's loader does not.
    from omegaconf import OmegaConf

    try:
        values = OmegaConf.to_container(OmegaConf.load(StringIO(_yaml_text(path))))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: write it with `python -m pipelines.compose`") from None
    except Exception as error:  # Of many kinds: of numbers, dates, interpolations, depths.
        raise InputError(
            f"{path} is not valid YAML: {error}; write it again with `python -m pipelines.compose`"
        ) from None
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no settings: write it again with `python -m pipelines.compose`")
    return {str(key): value for key, value in values.items()}
