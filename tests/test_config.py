"""Settings are refused by their full path, and params.yaml is read as OmegaConf reads it."""

from pathlib import Path
from typing import Literal

import pytest

from lmlab.config import PositiveFloat, PositiveInt, Settings, read_params, validate
from lmlab.errors import InputError


class Inner(Settings):
    """One kind of a choice."""

    name: Literal["inner"]
    rate: PositiveFloat


class Outer(Settings):
    """A section with a part."""

    steps: PositiveInt
    inner: Inner


GOOD = {"steps": 3, "inner": {"name": "inner", "rate": 0.5}}


def test_good_values_become_frozen_settings() -> None:
    settings = validate(Outer, GOOD, path="outer")
    assert settings == Outer(steps=3, inner=Inner(name="inner", rate=0.5))
    with pytest.raises(ValueError, match="frozen"):
        settings.steps = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (GOOD | {"step": 3}, r"outer\.step: there is no such setting; did you mean 'steps'"),
        ({"stepz": 3, "inner": GOOD["inner"]}, r"outer\.stepz: there is no such setting; did you mean 'steps'"),
        ({"steps": 3, "inner": {"name": "inner", "rat": 1}}, r"outer\.inner\.rat: .* did you mean 'rate'"),
        ({"steps": 3}, r"outer\.inner: this setting is missing"),
        (GOOD | {"steps": 0}, r"outer\.steps: .* greater than 0, found 0"),
        (GOOD | {"steps": "many"}, r"outer\.steps: must be a whole number, found 'many'"),
        (GOOD | {"steps": 1.5}, r"outer\.steps: must be a whole number, found 1\.5"),
        (GOOD | {"steps": "9" * 5000}, r"outer\.steps: must be a whole number, found '9"),
        (GOOD | {"inner": 3}, r"outer\.inner: must be a section of settings, found 3"),
        (GOOD | {"inner": {"name": "inner", "rate": float("inf")}}, r"outer\.inner\.rate: .* finite"),
        ([1, 2], r"outer: expected a mapping of settings, found \[1, 2\]"),
        (None, "outer: expected a mapping of settings, found null"),
    ],
)
def test_a_fault_is_said_with_its_full_path(values: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        validate(Outer, values, path="outer")


def test_an_exponent_without_a_point_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("training:\n  learning_rate: 1e-4\n")
    assert read_params(path) == {"training": {"learning_rate": 0.0001}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1\nb: {", r"params\.yaml is not valid YAML"),
        (b"a: \xff\xfe", r"params\.yaml is not valid YAML"),
        (b"- 1\n- 2\n", r"params\.yaml holds no settings"),
        (b"a: 1\na: 2\n", r"params\.yaml is not valid YAML.*duplicate"),
    ],
)
def test_a_file_that_holds_no_settings_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"(?s){message}"):
        read_params(path)


def test_a_missing_file_says_what_writes_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"params\.yaml does not exist: write it with .*pipelines\.compose"):
        read_params(tmp_path / "params.yaml")
