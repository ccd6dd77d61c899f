import pytest

from lmlab.comparison.rows import check_comparable, may_be_compared, rows_of, telling_keys
from lmlab.errors import InputError
from tests.comparison.runs import METRICS, evaluated


def test_runs_that_differ_in_the_seed_alone_share_a_row() -> None:
    rows = rows_of(
        [
            evaluated("a", 2.0, model_name="lstm", seed="1"),
            evaluated("b", 4.0, model_name="lstm", seed="2"),
            evaluated("c", 2.5, model_name="gru", seed="1"),
        ],
        "bits_per_byte",
    )
    assert [row.name for row in rows] == ["gru", "lstm"]
    gru, lstm = rows
    assert (gru.value, gru.low, gru.high, gru.deviation) == (2.5, 2.4, 2.6, None)
    # The sample standard deviation of 2 and 4.
    assert (lstm.value, lstm.low, lstm.deviation) == (3.0, None, pytest.approx(2**0.5))


def test_a_run_of_two_sweeps_counts_once() -> None:
    twice = [evaluated("a", 2.0, seed="1"), evaluated("b", 2.0, seed="1")]
    [row] = rows_of(twice, "bits_per_byte")
    assert len(row.runs) == 1


def test_the_best_row_is_first_whichever_way_is_better() -> None:
    higher = {"metrics": {"bits_per_byte": {**METRICS["bits_per_byte"], "better": "higher"}}}
    for details, best in ((None, "a"), (higher, "b")):
        runs = [evaluated(name, value, details=details, model_x=name) for name, value in (("a", 1.0), ("b", 2.0))]
        assert rows_of(runs, "bits_per_byte")[0].runs[0].run.name == best


def test_costs_are_read_from_metrics_and_from_the_runs_times_where_these_lack() -> None:
    metrics = {"seconds/train": 4.0, "memory/train_megabytes": 70.0}
    with_metrics, without = rows_of(
        [evaluated("a", 1.0, metrics=metrics, model_x="1"), evaluated("b", 2.0, model_x="2")], "bits_per_byte"
    )
    assert (with_metrics.seconds, with_metrics.megabytes) == (4.0, 70.0)
    assert (without.seconds, without.megabytes) == (9.0, None)
    # 6 times 1,000 parameters times 50 tokens.
    assert without.flop == 300_000


def test_only_settings_that_tell_rows_apart_are_named_and_none_that_follows_from_another() -> None:
    settings = [
        {"model.name": "lstm", "model.width": "48", "training.learning_rate": "0.1", "task.name": "t", "seed": "1"},
        {"model.name": "lstm", "model.width": "48", "training.learning_rate": "0.2", "task.name": "t", "seed": "2"},
        {"model.name": "gru", "model.width": "64", "training.learning_rate": "0.1", "task.name": "t", "seed": "1"},
    ]
    assert telling_keys(settings) == ["model.name", "training.learning_rate"]


def test_a_long_number_is_shortened_in_a_name() -> None:
    runs = [evaluated("a", 1.0, training_learning_rate="0.0890832234"), evaluated("b", 2.0, training_learning_rate="1")]
    assert [row.name for row in rows_of(runs, "bits_per_byte")] == ["learning_rate=0.08908", "learning_rate=1"]


@pytest.mark.parametrize(
    ("metric", "details", "message"),
    [
        ("bits_per_byte", {"test_digest": "test two"}, r"they have another test records \(test one and test two\)"),
        ("bits_per_byte", {"task": "translation"}, "they have another task"),
        (
            "bits_per_byte",
            {"metrics": {**METRICS, "bits_per_byte": {**METRICS["bits_per_byte"], "version": 2}}},
            r"another version of bits_per_byte \(1 and 2\)",
        ),
        (
            "bits_per_byte",
            {"metrics": {**METRICS, "bits_per_byte": {**METRICS["bits_per_byte"], "signature": "tok:zh"}}},
            "another signature of bits_per_byte",
        ),
        (
            "perplexity",
            {"tokenizer_digest": "tokens two"},
            "perplexity is per token, and they have another tokenizer .*; compare bits_per_byte",
        ),
    ],
)
def test_runs_whose_numbers_do_not_compare_are_refused_with_the_reason(
    metric: str, details: dict, message: str
) -> None:
    with pytest.raises(InputError, match=f"a .* and b .* cannot be ranked: .*{message}"):
        check_comparable([evaluated("a", 1.0), evaluated("b", 2.0, details=details)], metric)


def test_bits_per_byte_compares_over_tokenizers() -> None:
    check_comparable(
        [evaluated("a", 1.0), evaluated("b", 2.0, details={"tokenizer_digest": "tokens two"})], "bits_per_byte"
    )


def test_a_metric_that_a_run_lacks_is_said_with_those_that_it_has() -> None:
    with pytest.raises(InputError, match="a .* has no metric bleu; it has bits_per_byte, perplexity"):
        check_comparable([evaluated("a", 1.0)], "bleu")


def test_reports_of_older_versions_say_too_little_to_compare() -> None:
    assert may_be_compared(evaluated("a", 1.0).evaluation)
    assert not may_be_compared({"bits_per_byte": 1.0, "details": {"metrics": METRICS}})
