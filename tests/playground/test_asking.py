from collections.abc import Iterator
from pathlib import Path
from threading import Lock

import pytest

from lmlab.applying.applier import Applier
from lmlab.applying.opening import open_applier
from lmlab.errors import InputError
from lmlab.playground import asking
from lmlab.playground.asking import Question, Shown, answering, in_turn, paced, values_of
from tests.applying.tiny_bundles import RECORDS, tiny_bundle


@pytest.fixture
def writer(tmp_path: Path) -> Applier:
    return open_applier(tiny_bundle(tmp_path / "writer", "language_modeling"))


def test_an_answer_grows_to_what_the_model_answers(writer: Applier) -> None:
    record = RECORDS["language_modeling"]
    states = list(answering(writer, Question(record, {}, seed=3)))
    assert [len(state.text) for state in states] == sorted(len(state.text) for state in states)
    assert [state.is_busy for state in states] == [True] * (len(states) - 1) + [False]
    assert states[-1].text == writer.answer([record], seed=3)[0].text
    assert states[-1].opening == record["text"]
    assert states[-1].prompt == ()


def test_the_tokens_of_an_answer_make_its_text(tmp_path: Path) -> None:
    translator = open_applier(tiny_bundle(tmp_path / "translator", "translation"))
    *_, last = answering(translator, Question(RECORDS["translation"], {}, seed=1))
    assert translator.tokenizer.decode(last.answer) == last.text
    separator = translator.tokenizer.separator_id
    assert (last.prompt[0], last.prompt[-1]) == (separator, separator)


def test_labels_come_with_their_probabilities(tmp_path: Path) -> None:
    ranker = open_applier(tiny_bundle(tmp_path / "labels", "classification"))
    *_, last = answering(ranker, Question(RECORDS["classification"], {}, seed=1))
    assert last.probabilities is not None
    assert set(last.probabilities) == {"cat", "dog", "tree"}
    assert sum(last.probabilities.values()) == pytest.approx(1)
    assert last.text == next(iter(last.probabilities))


def test_a_changed_setting_changes_the_answer(writer: Applier) -> None:
    *_, last = answering(writer, Question(RECORDS["language_modeling"], {"max_new_tokens": 2}, seed=1))
    assert len(last.answer) == 2


def test_a_prompt_that_is_cut_is_said_to_be(tmp_path: Path) -> None:
    reader = open_applier(tiny_bundle(tmp_path / "reader", "question_answering"))
    long = {"context": "the cat likes the tree. " * 20, "question": "what?"}
    *_, last = answering(reader, Question(long, {}, seed=1))
    assert "the context was cut at its end" in last.notes[0]
    *_, last = answering(reader, Question({"context": "the cat", "question": "what?"}, {}, seed=1))
    assert not any("cut" in note for note in last.notes)


def test_too_many_characters_are_refused(writer: Applier) -> None:
    with pytest.raises(InputError, match="text: has 100,001 characters; the page takes 100,000 at most"):
        next(answering(writer, Question({"text": "x" * 100_001}, {}, seed=1)))


def test_settings_have_the_names_that_changes_have(writer: Applier) -> None:
    assert values_of(writer.task.decoding) == {"max_new_tokens": 12, "temperature": 0.9, "top_k": 0, "top_p": 0.9}


def _failing(error: Exception) -> Iterator[Shown]:
    yield Shown(text="half", is_busy=True)
    raise error


def test_a_fault_of_the_user_is_one_line_beside_what_was_written() -> None:
    *_, last = in_turn(_failing(InputError("text: is\nempty")), Lock(), Shown("writer", is_waiting=True))
    assert last == Shown(text="half", error="text: is empty")


def test_a_mistake_of_ours_is_told_on_the_terminal(caplog: pytest.LogCaptureFixture) -> None:
    *_, last = in_turn(_failing(KeyError("secret")), Lock(), Shown())
    assert last.error == "something went wrong (KeyError); the terminal that runs the page says more"
    assert "secret" in caplog.text


def test_a_model_waits_for_its_turn() -> None:
    turn = Lock()

    def works() -> Iterator[Shown]:
        assert turn.locked()
        yield Shown()

    for _ in in_turn(works(), turn, Shown()):
        assert not turn.locked()


def test_states_that_come_too_fast_are_left_out_but_for_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 0.0, 0.01, 0.06, 0.06, 0.07])
    monkeypatch.setattr(asking, "perf_counter", lambda: next(times))
    states = [Shown(text=text) for text in "abcd"]
    assert [state.text for state in paced(iter(states))] == ["a", "c", "d"]


def test_a_fault_before_the_first_state_is_told_of_the_model_that_was_asked() -> None:
    def fails() -> Iterator[Shown]:
        yield from ()
        raise InputError("no such model")

    waiting = Shown("writer", is_waiting=True)
    assert [*in_turn(fails(), Lock(), waiting)] == [Shown("writer", error="no such model")]
