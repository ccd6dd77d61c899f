"""Every file of conf/ validates, and every key that conf/ does not know is refused by its full path."""

import copy
import re
from typing import Any

import pytest

from lmlab.errors import InputError
from pipelines.compose import compose
from pipelines.settings import SECTIONS, UNTRACKED, validate_params
from tests.laws.imports import PROJECT

CONF = PROJECT / "conf"
CHOICES = [
    (path.parent.relative_to(CONF).as_posix(), path.stem)
    for path in sorted(CONF.rglob("*.yaml"))
    if path.parent != CONF and path.parts[len(CONF.parts)] != "hydra"
]
NEEDED = {
    ("source", "files"): ["source.path=input.txt"],
    ("source", "hub"): ["source.dataset=someone/some_set"],
    ("source", "multi30k"): ["task=translation"],
    ("source", "samsum"): ["task=summarization"],
    ("source", "squad"): ["task=question_answering"],
    ("source", "xsum"): ["task=summarization"],
    ("task", "classification"): ["source=sst2"],
    ("task", "question_answering"): ["source=squad"],
    ("task", "summarization"): ["source=xsum"],
    ("task", "translation"): ["source=multi30k"],
    ("model", "pretrained"): ["model.source=someone/some_model"],
    ("training", "pretrained"): ["model=pretrained", "model.source=someone/some_model"],
    **{("model_task", name): [f"model={name.split('_')[0]}"] for group, name in CHOICES if group == "model_task"},
}


@pytest.fixture(autouse=True)
def _in_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)


def _mappings(values: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(values, dict):
        return []
    inner = [found for key, value in values.items() for found in _mappings(value, (*path, key))]
    return [path, *inner] if path else inner


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_every_conf_file_validates(group: str, name: str) -> None:
    settings = validate_params(compose([f"{group}={name}", *NEEDED.get((group, name), [])]))
    assert set(settings) == set(SECTIONS)


@pytest.mark.parametrize("model", ["lstm", "gru", "transformer"])
def test_a_key_too_many_is_refused_by_its_path_wherever_it_stands(model: str) -> None:
    composed = compose([f"model={model}"])
    for path in _mappings(composed):
        broken = copy.deepcopy(composed)
        section = broken
        for key in path:
            section = section[key]
        section["misspelt_key"] = 1
        with pytest.raises(InputError, match=r"\.".join([*path, "misspelt_key"])):
            validate_params(broken)


def test_a_missing_key_is_named() -> None:
    composed = compose([])
    del composed["training"]["learning_rate"]
    with pytest.raises(InputError, match=r"training\.learning_rate: this setting is missing"):
        validate_params(composed)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.learning_rat=1", "did you mean 'training.learning_rate'"),
        ("model=lstmm", "did you mean 'lstm'"),
        ("model=LSTM", "did you mean 'lstm'"),
        ("modle=lstm", "did you mean 'model'"),
        ("training.learning_rate", "'training.learning_rate' is no override: write key=value"),
        ("=3", "'=3' is no override"),
        ("", "'' is no override"),
        ("source.path=my (own) text.txt", r"source\.path: .* stands between quotes, as in \"source\.path='a, b'\""),
    ],
)
def test_a_misspelt_override_gets_the_nearest_right_one(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compose([override])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.learning_rate=-1"], r"training\.learning_rate: .* greater than 0, found -1"),
        (["model.width=100", "model.heads=3"], "nearest right width is"),
        (["seed=-1"], "seed: must be a whole number"),
        (
            ["task=classification"],
            r"task=classification reads the fields text, label, and is given text; .* 'source\.columns={text: text, "
            r"label: COLUMN}'",
        ),
        (["experiment=null"], "'~experiment'"),
        (["task.metrics=[bits_per_bite]"], r"task\.metrics: no metric .*'bits_per_bite'; did you mean 'bits_per_byte'"),
        (["task.metrics=[accuracy]"], r"task\.metrics: accuracy measures answers, and task language_modeling has no"),
        (["task.baselines=[unigramm]"], r"task\.baselines: no baseline .*'unigramm'; did you mean 'unigram'"),
        (["task.baselines=[copy_source]"], r"task\.baselines: copy_source answers prompts, and task language_modeling"),
        (["task.references=txt"], r"references: the templates have no field 'txt'; did you mean 'text'"),
        (["training.max_steps=null"], "max_steps and max_tokens are both null"),
        (["source.fractions.train=0.5"], "fractions"),
        (["model.name=nope"], "no model is called 'nope'"),
        (["model=pretrained"], "with model=pretrained set model.source"),
    ],
)
def test_a_value_out_of_range_is_said_with_its_path(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        validate_params(compose(overrides))


def test_untracked_sections_are_the_machines_alone() -> None:
    assert {"runtime"} == UNTRACKED


def test_the_fine_tuning_of_the_readme_has_the_shape_of_what_it_begins_from() -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    [words] = re.findall(r"pipelines\.run (experiment=topics_docs model\S+ model\S+) \\\n", readme)
    tuned, begun = compose(words.split())["model"], compose([])["model"]
    assert tuned | {"dropout": 0} == begun | {"dropout": 0}
