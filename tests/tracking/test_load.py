"""The served model under load: many clients at once, each of whom gets the answer to what it asked."""

from collections.abc import Iterator
from pathlib import Path
from threading import Barrier

import pytest

from lmlab.applying.opening import open_applier
from lmlab.tracking import track, tracking_address
from tests.crowds import Ask, asks_mlflow, crowd, faults_of
from tests.tracking.conftest import TASKS, made_up_files, made_up_identity, save_tiny_bundle, tiny_task
from tests.tracking.servers import model_server

WORDS = ("the", "cat", "sat", "that", "hat", "at", "each", "eats")
QUESTIONS = [f"{one} {other}" for one in WORDS for other in WORDS[:4]]
MOST_AT_ONCE = 24
"""Connections, those that are refused among them."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, shared_project: Path) -> Path:
    """That of the model which the shared project has registered for translation."""
    files = made_up_files(
        tmp_path_factory.mktemp("translation") / "files", model="transformer", seed=1, task="translation"
    )
    track(shared_project, made_up_identity(model="transformer", seed=1, task="translation"), files)
    assert files.export is not None
    return files.export / "bundle"


@pytest.fixture(scope="module")
def address(bundle: Path, shared_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("UVICORN_LIMIT_CONCURRENCY", str(MOST_AT_ONCE))
        store, folder = tracking_address(shared_project), tmp_path_factory.mktemp("server")
        with model_server("models:/translation/1", store=store, folder=folder) as found:
            yield found


@pytest.fixture(scope="module")
def alone(bundle: Path) -> dict[str, str]:
    """The answer to each question, without a server."""
    applier = open_applier(bundle)
    return {text: applier.answer([{"source": text}])[0].text for text in QUESTIONS}


@pytest.mark.slow
def test_load_of_eight_clients_gets_the_answers_that_each_question_gets_alone(
    address: str, alone: dict[str, str]
) -> None:
    # From the first request on: what the server imports then, it does while all of them ask.
    answered = crowd(lambda: asks_mlflow(address, "source"), QUESTIONS * 2, clients=8, seconds=60)
    assert len(answered) == 2 * len(QUESTIONS)
    assert faults_of(answered, alone) == []
    assert len({one.answer for one in answered}) > 3


@pytest.mark.slow
def test_load_beyond_the_servers_limit_is_refused_in_one_line_and_the_others_are_answered(
    address: str, alone: dict[str, str]
) -> None:
    many = 3 * MOST_AT_ONCE
    together = Barrier(many)

    def waiting_client() -> Ask:
        together.wait(timeout=60)
        return asks_mlflow(address, "source")

    answered = crowd(waiting_client, QUESTIONS[:1] * many, clients=many, seconds=60)
    assert {one.fault for one in answered if one.fault} == {"RefusedError: 503 Service Unavailable"}
    assert faults_of([one for one in answered if not one.fault], alone) == []
    again = crowd(lambda: asks_mlflow(address, "source"), QUESTIONS, clients=8, seconds=60)
    assert faults_of(again, alone) == []


@pytest.mark.parametrize("model", ["transformer", "lstm"])
@pytest.mark.parametrize("task", TASKS)
def test_load_of_eight_threads_changes_no_answer_of_any_task(task: str, model: str, tmp_path: Path) -> None:
    save_tiny_bundle(tmp_path / "bundle", model=model, seed=1, task=tiny_task(task))
    for engine in ("torch", "auto"):
        applier = open_applier(tmp_path / "bundle", engine=engine)

        def answer(text: str, applier=applier) -> str:
            [reply] = applier.answer([dict.fromkeys(applier.fields, text)])
            return f"{reply.text} {reply.log_likelihood} {reply.probabilities}"

        expected = {text: answer(text) for text in QUESTIONS[:8]}
        answered = crowd(lambda answer=answer: answer, QUESTIONS[:8] * 4, clients=8, seconds=60)
        assert faults_of(answered, expected) == []
