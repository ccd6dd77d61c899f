"""What the page answers to its events, without a browser."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lmlab.errors import InputError
from lmlab.playground.asking import Shown
from lmlab.playground.catalog import Catalog, Choice
from lmlab.playground.layout import BOUNDS, MOST_FIELDS, Parts, lay_out, new_page
from lmlab.playground.opened import OpenModels
from lmlab.playground.page import Playground
from tests.applying.tiny_bundles import tiny_bundle

NAMES = ("translator", "broken", "labels", "lstm")


class Opened(NamedTuple):
    """The page's events and parts."""

    playground: Playground
    parts: Parts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_bundle(folder / "translator", "translation")
    tiny_bundle(folder / "labels", "classification")
    tiny_bundle(folder / "lstm", "translation", model="lstm")
    (folder / "broken").mkdir()
    return folder


def _stored() -> list[Choice]:
    raise InputError("the store is down")


@pytest.fixture
def opened(folder: Path) -> Opened:
    catalog = Catalog([Choice(name, name) for name in NAMES], None, _stored, lambda address: folder / address)
    parts = asyncio.run(_laid_out(catalog))
    return Opened(Playground(catalog, OpenModels(catalog.folder_of), folder, parts), parts)


async def _laid_out(catalog: Catalog) -> Parts:
    # Where no event loop runs, gradio makes several and closes none.
    with new_page():
        return lay_out(catalog.first, compared=None)


def ask(opened: Opened, *models: str, text: str = "the dog", attention: bool = False, **settings: Any) -> list[Shown]:
    """The last states of both panels."""
    first, second = (*models, "")[:2]
    values = {name: bounds.low for name, bounds in BOUNDS.items()} | {"max_new_tokens": 5} | settings
    texts = [text] * MOST_FIELDS
    *_, last = opened.playground.ask(first, second, attention, 1, *texts, *values.values())
    return last[opened.parts.shown]


def test_a_model_that_cannot_be_opened_does_not_keep_the_other_from_answering(opened: Opened) -> None:
    broken, translator = ask(opened, "broken", "translator")
    assert "broken holds no model" in broken.error
    assert (translator.error, translator.is_busy) == ("", False)
    assert len(translator.answer) > 0


def test_two_models_that_ask_for_other_fields_are_not_compared(opened: Opened) -> None:
    _, labels = ask(opened, "translator", "labels")
    assert labels.error == "this model asks for text, the first one for source: compare two that ask for the same"


def test_an_address_that_the_page_does_not_offer_is_refused(opened: Opened) -> None:
    [refused] = ask(opened, "../secret")
    assert refused.error == "../secret: is none of the models of this page"


def test_a_number_that_was_deleted_is_asked_for(opened: Opened) -> None:
    [refused] = ask(opened, "translator", beams=None)
    assert refused.error == "Beams: give a number"


def test_attention_is_drawn_beside_the_engine_that_has_none(opened: Opened) -> None:
    translator, lstm = ask(opened, "translator", "lstm", attention=True)
    assert translator.picture is not None
    assert len(translator.picture.rows) == len(translator.answer)
    assert lstm.picture is None
    assert lstm.notes[-1] == "this model has no attention"
    [plain, _] = opened.playground.draw(False, [translator, lstm])[opened.parts.shown]
    assert plain == translator._replace(picture=None)
    drawn = opened.playground.draw(True, [plain, lstm])[opened.parts.shown]
    assert drawn == [translator, lstm]


def test_what_was_written_stays_when_it_is_stopped(opened: Opened) -> None:
    busy, waiting = Shown("translator", text="half", is_busy=True), Shown("lstm", is_waiting=True)
    stopped = opened.playground.stop([busy, waiting])[opened.parts.shown]
    assert stopped == [
        busy._replace(is_busy=False, notes=("stopped",)),
        waiting._replace(is_waiting=False, notes=("stopped",)),
    ]


def test_a_store_that_is_down_leaves_the_folders(opened: Opened) -> None:
    updates = opened.playground.arrive()
    assert "the store is down" in updates[opened.parts.fault]["value"]
    assert updates[opened.parts.choosers[0]]["choices"] == [(name, name) for name in NAMES]


def test_the_form_has_the_fields_and_settings_of_the_model(opened: Opened) -> None:
    updates = opened.playground.choose("translator", "")
    fields = [updates[field] for field in opened.parts.fields]
    assert [field["visible"] for field in fields] == [True, *[False] * (MOST_FIELDS - 1)]
    assert fields[0]["label"] == "Source"
    shown = {name for name, slider in opened.parts.settings.items() if updates[slider]["visible"]}
    assert shown == {"max_new_tokens", "beams", "length_penalty"}
    assert updates[opened.parts.settings["beams"]]["value"] == 3
    assert updates[opened.parts.seed]["visible"] is False


@pytest.fixture(scope="module", autouse=True)
def _no_reports() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        yield
