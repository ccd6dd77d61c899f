"""Metrics against values worked out by hand and the scorers' own calls, and intervals against a naive bootstrap."""

import math
import random
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
import pytest

from lmlab.errors import InputError
from lmlab.evaluation.answers import with_reference_count
from lmlab.evaluation.intervals import Units, estimates, resampling_units
from lmlab.evaluation.metric import Answers, Examples, Floats, Metric
from lmlab.evaluation.metrics import METRICS

# Two records: 2 ln 2 nats over 2 tokens and 4 bytes; 4 ln 2 nats over 1 token and 2 bytes.
LIKELIHOODS = Examples(
    nats=np.array([2 * math.log(2), 4 * math.log(2)]),
    tokens=np.array([2.0, 1.0]),
    bytes=np.array([4.0, 2.0]),
    correct=np.array([2.0, 0.0]),
    answers=None,
)
NONE = np.empty(0)


def answered(
    texts: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    labels: Sequence[str] = (),
    confidence: Sequence[float] | None = None,
) -> Examples:
    """What a baseline gives: answers, and no likelihoods."""
    probabilities = None if confidence is None else np.array(confidence)
    return Examples(NONE, NONE, NONE, NONE, Answers(texts, references, labels, probabilities))


# Right runs of 1, 2, 3, 4 words: 4/5 3/4 2/3 1/2, then 4/4 3/3 2/2 1/1; 5 + 4 words against 5 + 6.
TRANSLATIONS = answered(["a b c d e", "a b c d"], [["a b c d f"], ["a b c d e f"]])
BLEU = 100 * math.exp(1 - 11 / 9) * (8 / 9 * 6 / 7 * 4 / 5 * 2 / 3) ** (1 / 4)

# abcd against abce: 3, 2, 1, 0 runs of 1 to 4 characters are right of 4, 3, 2, 1 in both; a against ab: 1 of 1 in the
# answer and 2 in the reference, and no pair of the 1. Longer runs there are none, so four lengths are averaged.
SPELLINGS = answered(["ab cd", "a"], [["abce"], ["ab"]])
PRECISION = (4 / 5 + 2 / 3 + 1 / 2 + 0 / 1) / 4
RECALL = (4 / 6 + 2 / 4 + 1 / 2 + 0 / 1) / 4
CHRF = 100 * 5 * PRECISION * RECALL / (4 * PRECISION + RECALL)

# big cat sat: of 3 words 1 is in the 1 of the first reference (2 * 1 / 4), 2 are in the 3 of the second (2 * 2 / 6).
SPANS = answered(["the big cat sat", "An Answer!"], [["a cat", "Cat sat here."], ["answer"]])

# Of 3 words 3 are among the 5; of 2 pairs 1 (the cat) is among the 4; the longest sequence in common has 2 (the cat).
# F-measures 2 * 3 / 8, 2 * 1 / 6 and 2 * 2 / 8; the second reference has nothing in common, the second record is right.
SUMMARIES = answered(["sat the cat", "so it is"], [["The cat sat down now.", "rain"], ["So it is!"]])

# a: right once, answered wrongly once, missed once; b: right once, answered wrongly once; c: missed once; d: never.
# Bins: 0.95 and 0.97 (one right) share the last; 0.5 (right) and 0.2 (wrong) stand alone.
LABELS = answered(
    ["a", "b", "b", "a"],
    [["a"], ["a"], ["b"], ["c"]],
    labels=["d", "c", "b", "a"],
    confidence=[0.95, 0.97, 0.5, 0.2],
)

BY_HAND = {
    "bits_per_byte": (LIKELIHOODS, 6 / 6),
    "perplexity": (LIKELIHOODS, 4.0),
    "next_token_accuracy": (LIKELIHOODS, 2 / 3),
    "bleu": (TRANSLATIONS, BLEU),
    "chrf": (SPELLINGS, CHRF),
    "exact_match": (SPANS, 1 / 2),
    "f1": (SPANS, (2 / 3 + 1) / 2),
    "rouge1": (SUMMARIES, (3 / 4 + 1) / 2),
    "rouge2": (SUMMARIES, (1 / 3 + 1) / 2),
    "rougeL": (SUMMARIES, (1 / 2 + 1) / 2),
    "accuracy": (LABELS, 2 / 4),
    "macro_f1": (LABELS, (2 / 4 + 2 / 3 + 0) / 3),
    "calibration_error": (LABELS, (abs(1 - 1.92) + abs(1 - 0.5) + abs(0 - 0.2)) / 4),
}


def metric_of(name: str, language: str | None = None) -> Metric:
    return METRICS.get(name).build(language=language)


def value_of(name: str, examples: Examples, language: str | None = None) -> float:
    metric = metric_of(name, language)
    return float(metric.value(metric.statistics(examples).sum(axis=0)))


@pytest.mark.parametrize("name", METRICS.names())
def test_metric_equals_the_value_worked_out_by_hand(name: str) -> None:
    examples, expected = BY_HAND[name]
    assert value_of(name, examples) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", METRICS.names())
def test_value_of_many_sums_is_the_value_of_each(name: str) -> None:
    metric = metric_of(name)
    statistics = metric.statistics(BY_HAND[name][0])
    sums = np.stack([statistics[0], statistics.sum(axis=0), 3 * statistics.sum(axis=0), statistics[1]])
    found = metric.value(sums.reshape(2, 2, -1))
    assert found.tolist() == [[float(metric.value(sums[i, :])) for i in pair] for pair in ((0, 1), (2, 3))]


def test_labels_are_what_people_call_the_metrics() -> None:
    assert {name: metric_of(name).label for name in METRICS.names()} == {
        "accuracy": "accuracy",
        "bits_per_byte": "bits per byte",
        "bleu": "BLEU",
        "calibration_error": "calibration error",
        "chrf": "chrF",
        "exact_match": "exact match",
        "f1": "F1",
        "macro_f1": "macro F1",
        "next_token_accuracy": "next-token accuracy",
        "perplexity": "perplexity",
        "rouge1": "ROUGE-1",
        "rouge2": "ROUGE-2",
        "rougeL": "ROUGE-L",
    }


def test_only_errors_and_bits_are_better_when_lower() -> None:
    lower = [name for name in METRICS.names() if metric_of(name).better == "lower"]
    assert lower == ["bits_per_byte", "calibration_error", "perplexity"]


def generated_answers(count: int) -> Examples:
    """Sentences of few different words, each against one to three changed versions of itself."""
    generator = random.Random(5)
    words = [
        "the",
        "a",
        "cat",
        "dog",
        "house",
        "tree",
        "sees",
        "likes,",
        "of",
        "runs.",
        "under",
        "Über",
        "1.5",
        "don't",
    ]

    def changed(sentence: list[str]) -> str:
        return " ".join(generator.choice(words) if generator.random() < 0.3 else word for word in sentence)

    texts, references = [], []
    for _ in range(count):
        sentence = generator.choices(words, k=generator.randint(1, 12))
        texts.append(" ".join(sentence))
        references.append([changed(sentence + ["end"]) for _ in range(generator.randint(1, 3))])
    return answered(texts, references, labels=(), confidence=[0.5] * count)


def scored_by_sacrebleu(name: str, answers: Answers) -> tuple[float, str]:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    scorer = BLEU(force=True) if name == "bleu" else CHRF()
    streams = [list(stream) for stream in zip_longest(*answers.references)]
    return scorer.corpus_score(answers.texts, streams).score, str(scorer.get_signature())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["bleu", "chrf"])
@pytest.mark.parametrize("num_references", [1, 3])
def test_bleu_and_chrf_equal_what_sacrebleu_says_of_the_whole_set(name: str, num_references: int) -> None:
    answers = generated_answers(40).answers
    assert answers is not None
    references = [texts[:num_references] for texts in answers.references]
    examples = answered(answers.texts, references)
    expected, signature = scored_by_sacrebleu(name, answers._replace(references=references))
    assert value_of(name, examples) == pytest.approx(expected, rel=1e-12)
    ours = metric_of(name).signature
    assert ours is not None
    assert with_reference_count(ours, references) == signature


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
def test_rouge_equals_the_mean_of_what_rouge_score_says(name: str) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    examples = generated_answers(40)
    answers = examples.answers
    assert answers is not None
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    pairs = zip(answers.texts, answers.references, strict=True)
    expected = [scorer.score_multi(references, text)[name].fmeasure for text, references in pairs]
    assert value_of(name, examples) == pytest.approx(math.fsum(expected) / 40, rel=1e-12)


@pytest.mark.parametrize("name", ["bleu", "rouge1", "f1", "exact_match"])
def test_a_second_reference_may_be_the_right_one(name: str) -> None:
    examples = answered(["we go home now", "it is so far"], [["x y z", "we go home now"], ["it is so far"]])
    scale = 100 if name == "bleu" else 1
    assert value_of(name, examples) == pytest.approx(scale, rel=1e-12)


def test_bleu_counts_chinese_characters() -> None:
    # 4 of 5 characters, 3 of 4 pairs, 2 of 3 and 1 of 2; in English words nothing would be right.
    examples = answered(["我爱北京。"], [["我爱北京！"]])
    assert value_of("bleu", examples, "zh") == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** (1 / 4))
    assert value_of("bleu", examples, "en") == 0


def test_bleu_says_what_a_language_needs_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    from sacrebleu.tokenizers import tokenizer_ja_mecab

    monkeypatch.setattr(tokenizer_ja_mecab, "MeCab", None)
    with pytest.raises(InputError, match=r"task.language=ja: .* pip install -c constraints.txt 'sacrebleu\[ja\]'"):
        metric_of("bleu", "ja")


@pytest.mark.parametrize(
    ("language", "answer", "reference", "expected"),
    [
        # 2 characters in common of 3 and 2.
        ("zh", "北京市。", "北京", 2 * 2 / 5),
        # iPhone counts as one word beside 2 and 1 characters.
        ("ja", "新しiPhone", "新iphone!", 2 * 2 / 5),
        # an is no article in German: 1 word in common of 2 and 1; in English of 1 and 1.
        ("de", "an Bord", "Bord", 2 * 1 / 3),
        ("en", "an Bord", "Bord", 1.0),
        # The quotation marks of German go, which SQuAD's English rules would keep.
        ("de", "„Bord“", "Bord", 1.0),
        # Nothing but articles on both sides, then on one.
        (None, "The", "a", 1.0),
        (None, "The", "cat", 0.0),
        (None, "", "cat", 0.0),
    ],
)
def test_f1_splits_words_as_the_language_does(
    language: str | None, answer: str, reference: str, expected: float
) -> None:
    assert value_of("f1", answered([answer], [[reference]]), language) == pytest.approx(expected, rel=1e-12)


def test_exact_match_forgives_case_punctuation_articles_and_spaces_alone() -> None:
    texts = [" The  U.S.A.", "an apple", "apples"]
    assert metric_of("exact_match").statistics(answered(texts, [["usa"], ["Apple"], ["apple"]]))[:, 0].tolist() == [
        1,
        1,
        0,
    ]


def test_accuracy_forgives_nothing() -> None:
    assert value_of("accuracy", answered(["1.5", "1.5"], [["15"], ["15", "1.5"]])) == 1 / 2


@pytest.mark.parametrize(("language", "expected"), [("en", 0.0), ("de", 1.0), ("zh", 1.0)])
def test_rouge_reads_letters_beyond_ascii_where_a_language_has_them(language: str, expected: float) -> None:
    assert value_of("rouge1", answered(["Ä 猫"], [["ä 猫!"]]), language) == expected


def test_rouge_counts_chinese_characters() -> None:
    # 2 of 3 characters and of 4: 2 * 2 / 7; 1 pair of 2 and 3: 2 * 1 / 5.
    examples = answered(["北京市"], [["在北京呢"]])
    assert value_of("rouge1", examples, "zh") == pytest.approx(4 / 7, rel=1e-12)
    assert value_of("rouge2", examples, "zh") == pytest.approx(2 / 5, rel=1e-12)


def test_macro_f1_counts_answers_that_are_no_label() -> None:
    # a: right once of one; b: missed once; x: answered once though no label. (1 + 0 + 0) / 3
    examples = answered(["a", "x"], [["a"], ["b"]], labels=["a", "b"])
    assert value_of("macro_f1", examples) == pytest.approx(1 / 3, rel=1e-12)


def test_a_bin_of_confidence_holds_its_upper_edge() -> None:
    # 0.15 and 0.2 = 3/15 share the third bin: |1 - 0.35| / 2; in two bins it would be (0.8 + 0.15) / 2.
    examples = answered(["a", "b"], [["a"], ["a"]], labels=["a", "b"], confidence=[0.2, 0.15])
    assert value_of("calibration_error", examples) == pytest.approx(0.65 / 2, rel=1e-12)


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_the_ends_of_confidence_have_bins(confidence: float) -> None:
    examples = answered(["a"], [["a"]], labels=["a"], confidence=[confidence])
    assert value_of("calibration_error", examples) == 1 - confidence


def random_examples(count: int) -> Examples:
    generator = np.random.default_rng(7)
    tokens = generator.integers(1, 50, count).astype(float)
    return Examples(
        tokens * generator.uniform(1, 5, count),
        tokens,
        tokens * 4,
        np.floor(tokens / 3),
        generated_answers(count).answers,
    )


def test_intervals_equal_those_of_a_naive_bootstrap() -> None:
    examples = random_examples(30)
    numbers = np.repeat(np.arange(10), 3)
    found = estimates(
        {"bits_per_byte": metric_of("bits_per_byte")},
        examples,
        Units("documents", 10, numbers),
        num_resamples=200,
        seed=3,
    )["bits_per_byte"]
    generator = np.random.default_rng(3)
    values = []
    for _ in range(200):
        rows = [row for unit in generator.integers(10, size=10) for row in np.flatnonzero(numbers == unit)]
        values.append(sum(examples.nats[rows]) / math.log(2) / sum(examples.bytes[rows]))
    values.sort()
    # Position of the percentile among 200 values, between neighbours in proportion (numpy's linear method).
    at = 0.025 * 199
    low = values[4] + (at - 4) * (values[5] - values[4])
    assert found.low == pytest.approx(low, rel=1e-12)
    assert found.low < found.value < found.high


def test_adding_a_metric_does_not_change_the_interval_of_another() -> None:
    examples, units = random_examples(40), Units("records", 40, np.arange(40))
    metrics = {name: metric_of(name) for name in METRICS.names()}
    together = estimates(metrics, examples, units, num_resamples=50, seed=0)
    for name, metric in metrics.items():
        assert estimates({name: metric}, examples, units, num_resamples=50, seed=0)[name] == together[name]


def test_interval_of_equal_records_has_no_width() -> None:
    same: Floats = np.full(25, 2.0)
    metrics = {"perplexity": metric_of("perplexity")}
    units = Units("records", 25, np.arange(25))
    found = estimates(metrics, Examples(same, same, same, same, None), units, num_resamples=20, seed=0)["perplexity"]
    assert found.low == pytest.approx(math.e) == found.high


def test_documents_are_resampled_where_there_are_enough() -> None:
    units = resampling_units(np.array([5, 5, 2, 9]), min_documents=3)
    assert (units.kind, units.total, units.numbers.tolist()) == ("documents", 3, [0, 0, 1, 2])


def test_records_are_resampled_where_documents_are_few() -> None:
    units = resampling_units(np.array([5, 5, 2, 9]), min_documents=4)
    assert (units.kind, units.total, units.numbers.tolist()) == ("records", 4, [0, 1, 2, 3])


def test_rouge_says_where_a_text_has_no_word_for_it_without_a_language(caplog: pytest.LogCaptureFixture) -> None:
    references = [["лиса"], ["fox"], ["!"], ["5", "猫"]]
    with caplog.at_level("WARNING", logger="lmlab"):
        assert value_of("rouge1", answered(["лиса", "fox", "!", "5"], references), "ru") == 3 / 4
        assert not caplog.messages
        assert value_of("rouge1", answered(["лиса", "fox", "!", "5"], references)) == 2 / 4
        value_of("rouge2", answered(["лиса", "fox", "!", "5"], references))
    [message] = caplog.messages
    assert message.startswith("1 of 4 right answers have no letter from a to z")
