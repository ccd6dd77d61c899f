"""The page under load: many visitors at once, each of whom gets the answer to what he asked."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from lmlab.applying.opening import open_applier
from lmlab.data.task import SamplingDecoding, SamplingSettings
from lmlab.playground.catalog import Catalog, Choice
from lmlab.playground.opened import OpenModels
from lmlab.playground.page import MOST_VISITORS, QUEUE_LENGTH, build_page
from tests.applying.tiny_bundles import tiny_bundle
from tests.corpus import sentences
from tests.crowds import Ask, crowd, faults_of
from tests.pipelines.tiny import kill_group, new_project, start_command
from tests.playground.visitors import Visitor

if TYPE_CHECKING:
    from gradio import Blocks

GREEDY = SamplingDecoding(
    name="sampling", max_new_tokens=30, sampling=SamplingSettings(temperature=0, top_k=0, top_p=1)
)
SETTINGS = {"max_new_tokens": 30, "temperature": 0, "top_k": 0, "top_p": 1}
QUESTIONS = [sentence.strip() for sentence in sentences(48, seed=1)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = new_project(tmp_path_factory.mktemp("load") / "project")
    tiny_bundle(project / "writer", "language_modeling", decoding=GREEDY)
    return project


@pytest.fixture(scope="module")
def address(project: Path) -> Iterator[str]:
    process = start_command(project, "play", "--port", "0", "--model", "writer")
    try:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found, process.stdout.read()
        yield found.group()
    finally:
        kill_group(process)
        if process.stdout:
            process.stdout.close()


@pytest.fixture(scope="module")
def alone(project: Path) -> dict[str, str]:
    """The answer to each question, without a page."""
    applier = open_applier(project / "writer")
    return {text: applier.answer([{"text": text}])[0].text for text in QUESTIONS}


def _visitor(address: str) -> Ask:
    visitor = Visitor(address)
    assert "Language modeling" in visitor.arrive()
    return lambda text: visitor.ask(text, **SETTINGS)


@pytest.mark.slow
def test_load_of_eight_visitors_gets_the_answers_that_each_question_gets_alone(
    address: str, alone: dict[str, str]
) -> None:
    # From the first moment on: what the server imports and loads, it does while all of them ask.
    answered = crowd(lambda: _visitor(address), QUESTIONS, clients=8, seconds=60)
    assert len(answered) == len(QUESTIONS)
    assert faults_of(answered, alone) == []
    assert len({one.answer for one in answered}) > 3


@pytest.mark.slow
def test_load_beyond_the_queue_is_refused_in_one_line_and_the_others_are_answered(
    address: str, alone: dict[str, str]
) -> None:
    many = 2 * QUEUE_LENGTH
    longest = max(alone, key=lambda text: len(alone[text]))
    together = Barrier(many)

    def waiting_visitor() -> Ask:
        ask = _visitor(address)
        together.wait(timeout=60)
        return ask

    answered = crowd(waiting_visitor, [longest] * many, clients=many, seconds=60)
    refused = [one.fault for one in answered if one.fault]
    assert set(refused) == {'RefusedError: 503 {"detail":"Queue is full. Max size is 16 and size is 16."}'}
    assert len(answered) - len(refused) >= QUEUE_LENGTH
    assert faults_of([one for one in answered if not one.fault], alone) == []
    assert _visitor(address)(QUESTIONS[0]) == alone[QUESTIONS[0]]


async def _built(catalog: Catalog) -> "Blocks":
    # Where no event loop runs, gradio makes several and closes none.
    return build_page(catalog, OpenModels(catalog.folder_of), Path())


def test_no_more_visitors_are_remembered_than_the_page_means_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    from gradio.state_holder import StateHolder

    catalog = Catalog([Choice("one", "one")], None, list, lambda address: tmp_path / address)
    remembered = StateHolder()
    remembered.set_blocks(asyncio.run(_built(catalog)))
    for number in range(MOST_VISITORS + 20):
        remembered[f"visitor {number}"]
    assert len(remembered.session_data) == MOST_VISITORS
    assert f"visitor {MOST_VISITORS + 19}" in remembered.session_data
