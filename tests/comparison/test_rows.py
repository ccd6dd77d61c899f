import pytest

from lmlab.comparison.origins import origins_text
from lmlab.comparison.rows import Evaluated, check_comparable, may_be_compared, rows_of, telling_keys
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


def _tagged(one: Evaluated, **tags: str) -> Evaluated:
    return one._replace(run=one.run._replace(tags={f"lmlab.{key}": value for key, value in tags.items()}))


def test_runs_of_one_seed_that_are_not_the_same_run_are_rows_of_their_own() -> None:
    same = _tagged(evaluated("a", 2.0, seed="1"), fingerprint="aaa")
    runs = [same, same, _tagged(evaluated("b", 1.0, seed="1"), fingerprint="bbb")]
    rows = rows_of(runs, "bits_per_byte")
    assert [(row.name, row.value, len(row.runs)) for row in rows] == [
        ("fingerprint=#bbb", 1.0, 1),
        ("fingerprint=#aaa", 2.0, 1),
    ]


@pytest.mark.parametrize(
    ("tag", "label"), [("source_digest", "data"), ("started_from", "start weights"), ("code_digest", "code")]
)
def test_seeds_of_other_data_code_or_start_weights_are_not_averaged(tag: str, label: str) -> None:
    runs = [
        _tagged(evaluated("a", 2.0, seed="1"), fingerprint="f1", **{tag: "12e4567890"}),
        _tagged(evaluated("b", 4.0, seed="2"), fingerprint="f2", **{tag: "12e4567890"}),
        _tagged(evaluated("c", 1.0, seed="3"), fingerprint="f3", **{tag: "b0b"}),
    ]
    rows = rows_of(runs, "bits_per_byte")
    assert [(row.name, row.value) for row in rows] == [(f"{label}=#b0b", 1.0), (f"{label}=#12e45678", 3.0)]


def test_what_rows_differ_in_beside_their_settings_is_said() -> None:
    one = _tagged(evaluated("a", 1.0, source_path="one.txt"), source_digest="d1", code_digest="c1").run
    other_file = _tagged(evaluated("b", 1.0, source_path="two.txt"), source_digest="d2", code_digest="c1").run
    other_content = _tagged(evaluated("c", 1.0, source_path="one.txt"), source_digest="d3", code_digest="c2").run
    # Another file has other content: its path says so.
    assert origins_text([("lstm", one), ("gru", other_file)]) == ""
    assert (
        origins_text([("lstm", one), ("gru", other_content)])
        == "data #d1 (lstm), #d3 (gru); code #c1 (lstm), #c2 (gru)"
    )


def test_the_best_row_is_first_whichever_way_is_better() -> None:
    higher = {"metrics": {"bits_per_byte": {**METRICS["bits_per_byte"], "better": "higher"}}}
    for details, best in ((None, "a"), (higher, "b")):
        runs = [evaluated(name, value, details=details, model_x=name) for name, value in (("a", 1.0), ("b", 2.0))]
        assert rows_of(runs, "bits_per_byte")[0].runs[0].run.name == best


def test_costs_are_read_from_metrics_and_none_is_made_up_where_these_lack() -> None:
    metrics = {"seconds/train": 4.0, "memory/train_megabytes": 70.0}
    with_metrics, without = rows_of(
        [evaluated("a", 1.0, metrics=metrics, model_x="1"), evaluated("b", 2.0, model_x="2")], "bits_per_byte"
    )
    assert (with_metrics.seconds, with_metrics.megabytes) == (4.0, 70.0)
    assert (without.seconds, without.megabytes) == (None, None)
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


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("task.target", "target"),
        ("task.references", "field of references"),
        ("task.version", "version of the task"),
        ("task.language", "language"),
    ],
)
def test_runs_that_answer_other_targets_are_refused_with_the_reason(setting: str, what: str) -> None:
    one, two = (evaluated(name, 1.0) for name in ("one", "two"))
    one, two = (each._replace(run=each.run._replace(params={setting: each.run.name})) for each in (one, two))
    with pytest.raises(InputError, match=rf"cannot be ranked: they have another {what} \(one and two\)"):
        check_comparable([one, two], "bits_per_byte")


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
