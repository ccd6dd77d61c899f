"""Baselines that answer with text, on records small enough to answer by hand."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmlab.data.task import TaskSettings
from lmlab.errors import InputError
from lmlab.evaluation.answering import ANSWERERS
from lmlab.evaluation.answering_rows import Answered, Rows
from lmlab.evaluation.sentences import sentences
from lmlab.evaluation.words import words

CONTEXT = "A cat sat there. The dog saw a cat, and the big dog ran away! Then the dog slept."


def task_of(prompt: str, target: str, *, language: str | None = None) -> TaskSettings:
    return TaskSettings.model_validate(
        {
            "name": "tiny",
            "version": 1,
            "language": language,
            "prompt": prompt,
            "target": target,
            "references": None,
            "choices": None,
            "cutting": {"max_prompt_tokens": None, "field": None, "side": "end"},
            "decoding": {"name": "ranking"},
            "metrics": ["accuracy"],
            "baselines": [],
        }
    )


def rows_of(path: Path, records: list[dict[str, str]]) -> Rows:
    columns = {name: [record[name] for record in records] for name in records[0]}
    numbers = list(range(len(records)))
    pq.write_table(pa.table({"id": [str(number) for number in numbers], "document_number": numbers, **columns}), path)
    return Rows(path)


def answers_to(
    folder: Path,
    name: str,
    test: list[dict[str, str]],
    task: TaskSettings,
    *,
    train: list[dict[str, str]] | None = None,
) -> Answered:
    rows = rows_of(folder / "train.parquet", train or test), rows_of(folder / "test.parquet", test)
    return ANSWERERS.get(name).build().answer(*rows, task, [])


TRANSLATION = task_of("Translate: {source}", "{target}")
SUMMARIZATION = task_of("{document}", "{summary}")
QUESTIONS = task_of("{context}\n\n{question}", "{answer}")
CLASSIFICATION = task_of("{text}", "{label}")


def test_copy_source_answers_with_the_source(tmp_path: Path) -> None:
    test = [{"source": "one two", "target": "eins zwei"}, {"source": "Rom", "target": "Rom"}]
    assert answers_to(tmp_path, "copy_source", test, TRANSLATION) == Answered(["one two", "Rom"], None)


def test_first_sentence_answers_with_the_documents_first_sentence(tmp_path: Path) -> None:
    test = [
        {"document": "Dr. No came. He left.", "summary": "s"},
        {"document": "我来了。他走了。", "summary": "s"},
        {"document": " ", "summary": "s"},
    ]
    found = answers_to(tmp_path, "first_sentence", test, SUMMARIZATION)
    assert found == Answered(["Dr. No came.", "我来了。", ""], None)


def test_longest_sentence_is_the_one_of_most_characters_and_the_first_of_equals(tmp_path: Path) -> None:
    test = [
        {"context": CONTEXT, "question": "Who?", "answer": "a"},
        {"context": "He came. She ran. I ran.", "question": "Who?", "answer": "a"},
    ]
    found = answers_to(tmp_path, "longest_sentence", test, QUESTIONS)
    # He came. has 8 characters, She ran. too.
    assert found.texts == ["The dog saw a cat, and the big dog ran away!", "He came."]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        # cat and a are in both of the first two sentences, sat in the first alone.
        ("Where sat a cat?", "A cat sat there."),
        # the, dog and slept; the second sentence has the and dog, however often.
        ("The dog slept, or?", "Then the dog slept."),
        # the and dog are in the second and the third: the first of equals.
        ("What of the DOG?", "The dog saw a cat, and the big dog ran away!"),
        # No word at all is shared: the first sentence.
        ("Why?", "A cat sat there."),
    ],
)
def test_matching_sentence_shares_most_words_with_the_question(tmp_path: Path, question: str, expected: str) -> None:
    test = [{"context": CONTEXT, "question": question, "answer": "a"}]
    assert answers_to(tmp_path, "first_matching_sentence", test, QUESTIONS).texts == [expected]


def test_matching_sentence_compares_chinese_by_characters(tmp_path: Path) -> None:
    test = [{"context": "我来了。猫在家。", "question": "猫呢？", "answer": "家"}]
    task = task_of("{context}{question}", "{answer}", language="zh")
    assert answers_to(tmp_path, "first_matching_sentence", test, task).texts == ["猫在家。"]


def labelled(*labels: str) -> list[dict[str, str]]:
    return [{"text": f"text {number}", "label": label} for number, label in enumerate(labels)]


def test_most_frequent_label_is_counted_in_training_and_the_first_of_equals(tmp_path: Path) -> None:
    test = labelled("c", "c", "c")
    train = labelled("z", "b", "a", "b", "a")
    found = answers_to(tmp_path, "most_frequent_label", test, CLASSIFICATION, train=train)
    assert found == Answered(["a", "a", "a"], None)


def topics() -> list[dict[str, str]]:
    return [
        {"text": f"{word} {filler}", "label": label}
        for label, own in (("fruit", ("apple", "pear")), ("metal", ("iron", "zinc")), ("sky", ("sun", "moon")))
        for word in own
        for filler in ("here", "there", "now")
    ]


def test_logistic_regression_learns_which_words_tell_a_label(tmp_path: Path) -> None:
    test = [{"text": text, "label": "fruit"} for text in ("Zinc, again", "the moon", "pear")]
    found = answers_to(tmp_path, "tfidf_logistic_regression", test, CLASSIFICATION, train=topics())
    assert found.texts == ["metal", "sky", "fruit"]
    assert found.confidence is not None
    # The likeliest of three labels has more than a third.
    assert np.all((found.confidence > 1 / 3) & (found.confidence < 1))


def test_logistic_regression_answers_the_same_each_time(tmp_path: Path) -> None:
    test = labelled("a", "b")
    first, second = (
        answers_to(tmp_path, "tfidf_logistic_regression", test, CLASSIFICATION, train=topics()) for _ in range(2)
    )
    assert first.confidence is not None
    assert second.confidence is not None
    assert first.texts == second.texts
    assert first.confidence.tobytes() == second.confidence.tobytes()


def test_logistic_regression_needs_two_labels(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="task.baselines: .* needs two labels or more; .* have 'a'"):
        answers_to(tmp_path, "tfidf_logistic_regression", labelled("a", "a"), CLASSIFICATION)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("copy_source", "source"),
        ("first_sentence", "document"),
        ("longest_sentence", "context"),
        ("first_matching_sentence", "question"),
        ("tfidf_logistic_regression", "text"),
    ],
)
def test_a_field_that_the_records_lack_is_said(tmp_path: Path, name: str, field: str) -> None:
    test = [{"body": "x", "answer": "a"}, {"body": "y", "answer": "b"}]
    message = f"task.baselines: {name} reads the field '{field}', which the records lack; allowed: answer, body"
    with pytest.raises(InputError, match=message):
        answers_to(tmp_path, name, test, task_of("{body}", "{answer}"))


def test_every_baseline_says_what_it_does_in_a_few_words() -> None:
    found = {name: ANSWERERS.get(name).build().description for name in ANSWERERS.names()}
    assert found == {
        "copy_source": "copies the source",
        "first_matching_sentence": "first sentence that matches the question",
        "first_sentence": "first sentence",
        "longest_sentence": "longest sentence",
        "most_frequent_label": "most frequent label",
        "tfidf_logistic_regression": "TF-IDF with logistic regression",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ('He said "Go." Then "Stop!" (Really.) End.', ['He said "Go."', 'Then "Stop!"', "(Really.)", "End."]),
        ('"Who is it?" asked the wolf. Wait... and see.', ['"Who is it?" asked the wolf.', "Wait... and see."]),
        (
            "Pi is 3.14. See e.g. Fig. 2 of J. Smith et al. Now.",
            ["Pi is 3.14.", "See e.g. Fig. 2 of J. Smith et al. Now."],
        ),
        ("1. Open it. 2. Read.", ["1. Open it.", "2. Read."]),
        (
            "A title\n\nBody over\ntwo lines. see\n \nfig.\n\nend",
            ["A title", "Body over\ntwo lines. see", "fig.", "end"],
        ),
        ("他说：“走吧！”我走了。好？", ["他说：“走吧！”", "我走了。", "好？"]),
        ("", []),
        (" \n\n ", []),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        (None, "don't, 2nd Über_x!", ["don", "t", "2nd", "Über", "x"]),
        ("hi", "हिन्दी, में", ["हिन्दी", "में"]),
        ("zh", "我有iPhone 15。", ["我", "有", "iPhone", "15"]),
        (None, "我有", ["我有"]),
    ],
)
def test_words_are_runs_of_letters_and_digits(language: str | None, text: str, expected: list[str]) -> None:
    assert words(text, language=language) == expected


def test_logistic_regression_reads_texts_that_share_no_word(tmp_path: Path) -> None:
    train = [{"text": f"name{number}", "label": "ab"[number % 2]} for number in range(1200)]
    found = answers_to(tmp_path, "tfidf_logistic_regression", train[:4], CLASSIFICATION, train=train)
    assert found.texts == ["a", "b", "a", "b"]


def test_logistic_regression_refuses_texts_without_words(tmp_path: Path) -> None:
    train = [{"text": "\U0001f600", "label": label} for label in "ab"]
    with pytest.raises(InputError, match=r"task\.baselines: tfidf_logistic_regression finds no word in the training"):
        answers_to(tmp_path, "tfidf_logistic_regression", train, CLASSIFICATION)
