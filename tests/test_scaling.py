"""The plan past these machines: its tables are what its module prints, and its formulas are what small cases show."""

import re

import pytest
import torch

from benchmarks.scaling.__main__ import DOCUMENT, PLACE, filled
from benchmarks.scaling.costs import Shape
from benchmarks.scaling.hardware import DEFAULT
from benchmarks.scaling.measured import CLOSE, EXACT, TINY, Measured, between_processes, quick
from benchmarks.scaling.tables import SHAPES, TABLES
from lmlab.bundle import build_model


def _off(found: list[Measured]) -> list[str]:
    return [f"{one.name}: {one.measured} measured, {one.formula} by the formula" for one in found if not one.agrees]


def test_the_document_holds_every_table_as_it_is_printed() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert filled(text) == text
    assert [name for _, name, _ in PLACE.findall(text)] == list(TABLES)


def test_other_assumptions_give_other_tables() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert filled(text, DEFAULT._replace(mfu=0.2)) != text


def test_the_document_states_the_tolerances_that_are_held_to() -> None:
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    assert f"within {100 * EXACT:g} %" in text
    assert f"within {100 * CLOSE:g} %" in text


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_model_of_each_size_has_the_parameters_of_the_formula(shape: Shape) -> None:
    names = ("width", "layers", "heads", "key_heads", "feed_forward_width")
    settings = {"name": "transformer", "rotary_base": 10000.0, "dropout": 0.0}
    settings |= {name: getattr(shape, name) for name in names}
    with torch.device("meta"):
        model = build_model(settings, vocabulary_size=shape.vocabulary_size, context_length=2048, path="model")
    assert model.num_parameters() == shape.parameters
    assert re.fullmatch(r"(\d+) (million|billion)", shape.name)


def test_small_trainings_hold_and_compute_what_the_formulas_say() -> None:
    assert _off(quick()) == []


@pytest.mark.long
def test_two_processes_send_what_the_formulas_say() -> None:
    found = list(between_processes(TINY._replace(accumulate=2, optimizer="muon")))
    # On the wire so small a model is lost among headers and heartbeats.
    sent = [one for one in found if "wire" not in one.name]
    assert len(sent) == 2
    assert _off(sent) == []
