"""Settings of any shape are validated, or refused in one line; nothing of them is run, imported or instantiated."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from lmlab.config import read_params
from lmlab.errors import InputError
from pipelines.compose import compose, compose_jobs, params_text
from pipelines.settings import SECTIONS, validate_params
from tests.hostile.inputs import ANY_TEXT, LURES, mutated, reshaped
from tests.hostile.profiles import fuzz
from tests.hostile.watching import attempt, refusal_of
from tests.laws.imports import PROJECT

CHOICES: list[list[str]] = [
    [],
    ["model=lstm", "tokenizer=unigram", "source=files", "source.path=a.jsonl", "source.columns={a: b, c: [d, e]}"],
    ["model=pretrained", "model.source=someone/some_model", "task=translation", "source=locale_phrases"],
    ["task=classification", "cleaning=pairs", "source=hub", "source.dataset=someone/some_set"],
    ["task=question_answering", "training/optimizer=adamw", "tokenizer=existing", "tokenizer.path=a"],
]


@pytest.fixture(scope="module", autouse=True)
def _in_project() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        yield


@pytest.fixture(scope="module")
def composed() -> list[dict[str, Any]]:
    return [compose(choice) for choice in CHOICES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("params")


@fuzz(suite=150)
@given(data=st.data(), number=st.integers(0, len(CHOICES) - 1))
def test_sections_of_any_shape(composed: list[dict[str, Any]], data: st.DataObject, number: int) -> None:
    values = data.draw(reshaped(composed[number]))
    settings = attempt(lambda: validate_params(values))
    assert settings is None or set(settings) == set(SECTIONS)


YAML = [
    "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "<<: [1]\n",
    "? [a]\n: b\n",
    "a: !!python/object/apply:os.system ['true']\n",
    "a: !!python/name:os.system\n",
    "a: !!binary '\xff'\n",
    "a: !!timestamp 2001-99-99\n",
    "a: 2001-13-45\n",
    "a: !!set {b}\n",
    "a: ${b}\nb: ${a}\n",
    "a: ${" + "a:${" * 30 + "\n",
    "a: 0x" + "f" * 5000 + "\n",
    "a: " + "9" * 5000 + "\n",
    "a: 1:60:60:60\n",
    "%YAML 9.9\n---\na: b\n",
    "a: b\n---\na: c\n",
    "- a\n",
    "seed: 0x" + "f" * 5000 + "\n",
]
PIECES = st.sampled_from(
    [*YAML, *LURES, "a:", "- ", "[", "{", "&x", "*x", "|", ">", "'", '"', "\t", "\n", "  ", "? ", "!!int "]
)


@fuzz(suite=80)
@given(data=st.data())
@example(data=None)
def test_params_files_of_any_bytes(composed: list[dict[str, Any]], folder: Path, data: st.DataObject | None) -> None:
    contents = [text.encode() for text in YAML]
    if data is not None:
        whole = params_text(composed[data.draw(st.integers(0, len(CHOICES) - 1))]).encode()
        contents = [data.draw(mutated(whole) | st.lists(PIECES, max_size=6).map(lambda parts: "".join(parts).encode()))]
    path = folder / "params.yaml"
    for content in contents:
        path.write_bytes(content)
        attempt(lambda: validate_params(read_params(path)))


@pytest.mark.parametrize("name", ["aliases", "deep", "deep mapping", "interpolations"])
def test_a_small_params_file_that_would_become_large_is_refused(name: str, folder: Path) -> None:
    laughs = "".join(f"l{number}: &l{number} [{', '.join([f'*l{number - 1}'] * 9)}]\n" for number in range(1, 12))
    texts = {
        "aliases": f"l0: &l0 [ha]\n{laughs}",
        "deep": f"a: {'[' * 10_000}",
        "deep mapping": f"a: {'{a: ' * 5000}",
        "interpolations": f"a: {'${' * 1500}",
    }
    path = folder / "params.yaml"
    path.write_text(texts[name])
    assert "params.yaml is not valid YAML" in refusal_of(lambda: read_params(path), megabytes=200)


KEYS = [
    "model", "task", "experiment", "source", "seed", "training.max_steps", "source.columns", "source.columns.a",
    "hydra/launcher", "hydra.run.dir", "hydra.searchpath", "hydra.callbacks", "model.name", "training/optimizer",
    "model@other", "training.optimizer.name", "cleaning.length",
]  # fmt: skip
WORDS = [
    "lstm", "null", "../../etc/passwd", "/etc/passwd", "{a: b}", "{_target_: os.system, command: 'true'}", "[1,2]",
    "${oc.env:HOME}", "${seed}", "${oc.decode:1}", "interval(1,2)", "1,2", "choice(a,b)", "range(1,99999999)",
    "glob(*)", "tag(a,1)", "1e400", "-1", "nan", "''", "[pkg://os]", "[file:///etc]", "\\", "a=b=c", "sort(3,2)",
]  # fmt: skip
OVERRIDES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "+", "++", "~"]),
    st.sampled_from(KEYS) | ANY_TEXT,
    st.sampled_from(["=", "=", "=", ""]),
    st.sampled_from(WORDS) | ANY_TEXT,
)


@fuzz(suite=12)
@given(overrides=st.lists(OVERRIDES, min_size=1, max_size=2))
@example(overrides=["model=../config"])
@example(overrides=["experiment=/etc/passwd"])
@example(overrides=["seed=range(1,9999999999)"])
@example(overrides=["seed=\ud800"])
@example(overrides=["seed=interval(1,2)"])
@example(overrides=["model=null"])
@example(overrides=["+=lstm"])
def test_overrides_of_any_text(overrides: list[str]) -> None:
    is_sweep = any("," in override or "(" in override for override in overrides)
    attempt(lambda: compose_jobs(overrides) if is_sweep else validate_params(compose(overrides)))


TARGETS = [
    "hydra.launcher._target_=os.system",
    "+hydra.callbacks.mine._target_=os.system",
    "+hydra.callbacks={mine: {_target_: os.system}}",
    "hydra.sweeper={_target_: os.system}",
    "hydra.searchpath=[pkg://os]",
    "+model._target_=os.system",
]


@pytest.mark.parametrize("override", TARGETS)
def test_no_override_names_what_is_to_be_run(override: str) -> None:
    for door in (compose, compose_jobs):
        said = refusal_of(lambda door=door: door([override]))
        assert override.lstrip("+").partition("=")[0] in said


def test_yaml_is_read_as_data_alone(folder: Path) -> None:
    path = folder / "params.yaml"
    marker = folder / "ran"
    path.write_text(yaml.dump({"a": 1}) + f"b: !!python/object/apply:os.mkdir ['{marker}']\n")
    with pytest.raises(InputError, match="is not valid YAML"):
        read_params(path)
    assert not os.path.lexists(marker)
