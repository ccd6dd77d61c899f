"""A model answers as its task says, whichever engine runs it and however the answer is asked for."""

from pathlib import Path

import pytest

from lmlab.applying.applier import Applier, changed_decoding
from lmlab.applying.opening import open_applier
from lmlab.applying.streaming import TextStream
from lmlab.bundle import load_bundle
from lmlab.decoding.generate import generate
from lmlab.errors import InputError
from tests.applying.tiny_bundles import RECORDS, TASKS, tiny_bundle

WRITING = [name for name, task in TASKS.items() if task.decoding.name != "ranking"]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return {name: tiny_bundle(folder / name, name) for name in TASKS}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("model", ["transformer", "lstm", "gru"])
def test_onnxruntime_and_torch_give_the_same_answers(task: str, model: str, tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle", task, model=model)
    records = [RECORDS[task], {name: f"{text} and the stone" for name, text in RECORDS[task].items()}, RECORDS[task]]
    fast, slow = open_applier(folder), open_applier(folder, engine="torch")
    assert (fast.engine, slow.engine) == ("onnxruntime", "torch")
    found, expected = fast.answer(records, seed=3), slow.answer(records, seed=3)
    assert [reply.text for reply in found] == [reply.text for reply in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.log_likelihood == pytest.approx(theirs.log_likelihood, abs=1e-4)
        assert ours.probabilities == pytest.approx(theirs.probabilities, abs=1e-4)


@pytest.mark.parametrize("task", WRITING)
def test_what_is_streamed_is_what_is_answered(task: str, bundles: dict[str, Path]) -> None:
    applier = open_applier(bundles[task])
    pieces = list(applier.stream(RECORDS[task], seed=4))
    [reply] = applier.answer([RECORDS[task]], seed=4)
    assert "".join(pieces) == reply.text != ""
    if applier.task.decoding.name == "sampling":
        assert len(pieces) > 2


def test_a_language_model_goes_on_from_the_text_as_generate_does(bundles: dict[str, Path]) -> None:
    model, tokenizer, _ = bundle = load_bundle(bundles["language_modeling"])
    decoding = bundle.task.decoding
    assert decoding.name == "sampling"
    separator = tokenizer.separator_id
    [expected] = generate(
        model,
        [[separator, *tokenizer.encode(["the cat "])[0]]],
        max_new_tokens=12,
        sampling=decoding.sampling,
        stop_ids=frozenset({separator}),
        seed=3,
    )
    [reply] = open_applier(bundles["language_modeling"]).answer([{"text": "the cat "}], seed=3)
    assert reply.text == tokenizer.decode(expected)


def test_labels_come_with_probabilities_that_sum_to_one_likeliest_first(bundles: dict[str, Path]) -> None:
    [reply] = open_applier(bundles["classification"]).answer([RECORDS["classification"]])
    assert reply.probabilities is not None
    assert sorted(reply.probabilities) == ["cat", "dog", "tree"]
    assert sum(reply.probabilities.values()) == pytest.approx(1)
    assert list(reply.probabilities.values()) == sorted(reply.probabilities.values(), reverse=True)
    assert reply.text == next(iter(reply.probabilities))


def test_a_long_field_is_cut_as_in_training(bundles: dict[str, Path]) -> None:
    applier = open_applier(bundles["question_answering"])
    record = {"context": "the cat likes the tree. " * 40, "question": "what?"}
    [prompt] = applier.prompts([record], applier.task.decoding)
    assert len(prompt) <= 32
    assert applier.tokenizer.decode(prompt).endswith("what?")


def test_an_export_folder_is_opened_by_the_bundle_in_it(tmp_path: Path, bundles: dict[str, Path]) -> None:
    (tmp_path / "export").mkdir()
    tiny_bundle(tmp_path / "export" / "bundle", "translation")
    assert open_applier(tmp_path / "export").answer([RECORDS["translation"]]) == open_applier(
        bundles["translation"]
    ).answer([RECORDS["translation"]])


def test_settings_of_decoding_change_what_the_task_says(bundles: dict[str, Path]) -> None:
    applier = open_applier(bundles["language_modeling"])
    shorter = changed_decoding(applier.task.decoding, {"max_new_tokens": 3, "temperature": 0.0})
    greedy = changed_decoding(applier.task.decoding, {"temperature": 0.0})
    [short], [long] = (
        applier.answer([{"text": "the "}], decoding=shorter),
        applier.answer([{"text": "the "}], decoding=greedy),
    )
    assert long.text.startswith(short.text)
    assert len(long.text) > len(short.text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beams": 3}, "beams: the model decodes by sampling, which has max_new_tokens, temperature, top_k, top_p"),
        ({"temperature": -1.0}, r"decoding\.sampling\.temperature: .* greater than or equal to 0, found -1"),
        ({"max_new_tokens": 0}, r"decoding\.max_new_tokens: .* greater than 0, found 0"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        changed_decoding(TASKS["language_modeling"].decoding, changes)


@pytest.mark.parametrize(
    ("task", "record", "message"),
    [
        ("translation", {"sorce": "a"}, "sorce: the task translation has no such field; did you mean 'source'"),
        ("question_answering", {"context": "a"}, "question: this field is missing; .* asks for context and question"),
        ("translation", {"source": " \n"}, "source: is empty"),
        ("translation", {"source": 3}, "source: must be a text, found 3"),
        (
            "translation",
            {"source": "the cat " * 60},
            r"the prompt has \d+ tokens, and the model reads 55 at most before an answer",
        ),
        (
            "language_modeling",
            {"text": "the cat " * 60},
            r"the prompt has \d+ tokens, and the model reads 64 at most before an answer",
        ),
    ],
)
def test_a_record_that_cannot_be_answered_is_one_clear_line(
    task: str, record: dict, message: str, bundles: dict[str, Path]
) -> None:
    with pytest.raises(InputError, match=message):
        open_applier(bundles[task]).answer([record])


def test_a_text_without_a_known_character_is_refused(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle", "translation", tokenizer="characters")
    with pytest.raises(InputError, match="no character that the model knows"):
        open_applier(folder).answer([{"source": "漢字"}])
    assert open_applier(folder).answer([{"source": "the 漢字"}])


@pytest.mark.parametrize("name", ["nowhere", "empty", "a file"])
def test_a_folder_without_a_model_says_what_would_do(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a file").write_text("x")
    with pytest.raises(InputError, match="name a bundle"):
        open_applier(tmp_path / name)


def test_characters_in_several_tokens_are_streamed_whole(bundles: dict[str, Path]) -> None:
    applier: Applier = open_applier(bundles["language_modeling"])
    text = "naïve 漢字 🙂 e\u0301 end"
    [ids] = applier.tokenizer.encode([text])
    stream = TextStream(applier.tokenizer)
    pieces = [stream.add(token) for token in ids]
    assert "".join(pieces) + stream.rest() == text
    assert not any("\ufffd" in piece for piece in pieces)
    cut = TextStream(applier.tokenizer)
    assert "".join(cut.add(token) for token in applier.tokenizer.encode(["漢"])[0][:-1]) == ""
    assert "\ufffd" in cut.rest()


def test_batches_do_not_change_answers(bundles: dict[str, Path]) -> None:
    applier = open_applier(bundles["summarization"])
    records = [{"document": f"the {noun} sees the cat"} for noun in ("dog", "tree", "house and the road", "stone")]
    together, alone = (applier.answer(records, batch_rows=rows) for rows in (32, 1))
    assert [reply.text for reply in together] == [reply.text for reply in alone]
    assert len({reply.text for reply in together}) > 1
