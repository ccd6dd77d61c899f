"""Phrases of two locales: one target for each source phrase, all parts of held-out ones known, any two languages."""

import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmlab.data.phrases import Deck, Phrase, draw_phrases, with_splits
from lmlab.data.source import SPLITS
from lmlab.data.splits import SplitFractions, split_of
from lmlab.errors import InputError
from tests.data.cleaned import build_source, run_clean, source_settings, values_of

PHRASES = {"num_phrases": 3000, "minimum_training_uses": 0}
FRACTIONS = SplitFractions(train=0.9, validation=0.05, test=0.05)


def _endless(*phrases: Phrase) -> Iterator[Phrase]:
    while True:
        yield from phrases


def test_a_deck_deals_every_card_before_any_comes_again() -> None:
    deck = Deck("abc", random.Random(1))
    rounds = [sorted(deck.deal() for _ in range(3)) for _ in range(4)]
    assert rounds == [["a", "b", "c"]] * 4
    assert all(len(set(deck.hand(2))) == 2 for _ in range(20))
    assert sorted(deck.hand(9)) == ["a", "b", "c"]


def test_a_source_phrase_with_two_targets_and_repeats_are_left_out() -> None:
    kinds = {
        "one": _endless(Phrase("a", "A", ()), Phrase("b", "B", ())),
        "other": _endless(Phrase("a", "X", ()), Phrase("c", "C", ()), Phrase("b", "B", ())),
    }
    found = draw_phrases(kinds, weights={"one": 1, "other": 1}, count=9, draw=random.Random(1))
    sources = sorted(phrase.source for phrases in found.values() for phrase in phrases)
    assert sources == ["b", "c"]


def test_a_kind_without_weight_is_not_drawn_and_a_finite_one_ends() -> None:
    kinds = {"none": _endless(Phrase("a", "A", ())), "two": iter([Phrase("b", "B", ()), Phrase("c", "C", ())])}
    found = draw_phrases(kinds, weights={"none": 0, "two": 1}, count=9, draw=random.Random(1))
    assert {kind: [phrase.source for phrase in phrases] for kind, phrases in found.items()} == {
        "none": [],
        "two": ["b", "c"],
    }


def test_held_out_phrases_need_parts_that_training_shows() -> None:
    common = [Phrase(f"phrase {number}", "t", ("common",)) for number in range(200)]
    rare = [Phrase(f"rare {number}", "t", ("common", f"rare {number}")) for number in range(200)]
    drawn = with_splits({"kind": [*common, *rare]}, FRACTIONS, minimum_training_uses=1)
    kept = {(entry.split, entry.phrase.source) for entry in drawn}
    assert kept == {
        (split, phrase.source)
        for phrase in [*common, *rare]
        if (split := split_of(phrase.source, FRACTIONS)) == "train" or phrase in common
    }


@pytest.fixture(scope="module")
def german() -> dict[str, list[tuple[str, ...]]]:
    return values_of(build_source("locale_phrases"))


def test_phrases_are_as_many_as_wanted_each_with_one_target(german: dict[str, list[tuple[str, ...]]]) -> None:
    pairs = [pair for split in SPLITS for pair in german[split]]
    assert 39_500 <= len(pairs) <= 40_000
    assert len({source for source, _ in pairs}) == len(pairs)
    assert all(source and target for source, target in pairs)
    for split in SPLITS:
        assert {split_of(source, FRACTIONS) for source, _ in german[split]} == {split}


def test_every_word_of_a_held_out_phrase_is_in_several_training_phrases(
    german: dict[str, list[tuple[str, ...]]],
) -> None:
    # Words are a second way to look at what the parts of phrases promise; numbers are not words.
    for side in (0, 1):
        uses = Counter(word for pair in german["train"] for word in set(_words(pair[side])))
        held_out = {word for split in ("validation", "test") for pair in german[split] for word in _words(pair[side])}
        assert min(uses[word] for word in held_out) >= 5


def _words(text: str) -> list[str]:
    for sign in ",()¥$€":
        text = text.replace(sign, " ")
    return [word for word in text.split() if not any(character.isdigit() for character in word)]


def test_phrases_read_as_people_write_them(german: dict[str, list[tuple[str, ...]]]) -> None:
    from datetime import date

    from babel.dates import format_date

    pairs = {source: target for split in SPLITS for source, target in german[split]}
    # CLDR's own rules, worked out by hand for what any draw of this size holds.
    assert pairs["Germany"] == "Deutschland"
    assert pairs["January"] == "Januar"
    assert pairs["in 3 weeks"] == "in 3 Wochen"
    days = [date.fromordinal(number) for number in range(date(1970, 1, 1).toordinal(), date(2070, 1, 1).toordinal())]
    long_dates = {format_date(day, "long", "en"): day for day in days}
    months = ["Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September"]
    months += ["Oktober", "November", "Dezember"]
    found = {source: target for source, target in pairs.items() if source in long_dates}
    assert len(found) > 100
    for source, target in found.items():
        day = long_dates[source]
        assert target == f"{day.day}. {months[day.month - 1]} {day.year}"


def test_what_looks_alike_has_the_meaning_of_the_first_form() -> None:
    # "May 1, 2024" is a long and a medium date: the long one is the meaning, whatever is drawn.
    found = values_of(build_source("locale_phrases", **{**PHRASES, "weights": _only("dates")}))
    pairs = [pair for split in SPLITS for pair in found[split]]
    may = [target for source, target in pairs if re.fullmatch(r"May \d+, \d{4}", source)]
    march = [target for source, target in pairs if re.fullmatch(r"Mar \d+, \d{4}", source)]
    assert len(may) > 5
    assert len(march) > 5
    assert all(re.fullmatch(r"\d+\. Mai \d{4}", target) for target in may)
    assert all(re.fullmatch(r"\d\d\.03\.\d{4}", target) for target in march)


def _only(*kinds: str) -> dict[str, float]:
    names = source_settings("locale_phrases").model_dump()["weights"]
    return {name: float(name in kinds) for name in names}


def test_phrases_depend_on_the_seed_and_on_nothing_else() -> None:
    def drawn(**values: object) -> list:
        return list(build_source("locale_phrases", **PHRASES, **values).records())

    assert drawn(seed=1) == drawn(seed=1)
    assert drawn(seed=1) != drawn(seed=2)


@pytest.mark.parametrize(
    ("source", "target"), [("de", "en"), ("en", "zh"), ("zh", "ja"), ("pl", "ar"), ("en", "zu"), ("pt_BR", "he")]
)
def test_any_two_locales_give_phrases(source: str, target: str) -> None:
    found = list(build_source("locale_phrases", **PHRASES, source_locale=source, target_locale=target).records())
    assert len(found) == 3000
    assert len({record.values[0] for record in found}) == 3000


def test_too_many_phrases_of_few_kinds_are_refused_with_their_number() -> None:
    source = build_source("locale_phrases", **{**PHRASES, "weights": _only("names")})
    with pytest.raises(InputError, match=r"source\.num_phrases: .* have \d{3} different phrases, 3000 are asked for"):
        list(source.records())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"target_locale": "de-DE"}, r"source\.target_locale: Babel knows no such locale; did you mean 'de_DE'"),
        ({"source_locale": "root"}, r"source\.source_locale: Babel knows no such locale"),
        ({"target_locale": "en"}, "source_locale and target_locale are both 'en'"),
        ({"weights": {**dict.fromkeys(["names"], 0)}}, r"source\.weights\.\w+: this setting is missing"),
    ],
)
def test_locales_and_weights_that_cannot_be_are_refused(values: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        source_settings("locale_phrases", **values)


def test_weights_of_zero_are_refused() -> None:
    with pytest.raises(InputError, match=r"source\.weights: all weights are 0"):
        source_settings("locale_phrases", weights=_only())


def test_cleaning_of_pairs_leaves_phrases_as_they_are(tmp_path: Path) -> None:
    from lmlab.config import validate
    from lmlab.data.cleaning.settings import CleaningSettings
    from pipelines.compose import compose

    cleaning = validate(CleaningSettings, compose(["cleaning=pairs"])["cleaning"], path="cleaning")
    cleaned = run_clean(tmp_path, source_settings("locale_phrases", **PHRASES), cleaning)
    assert cleaned.report["rows"] == {
        split: len(rows) for split, rows in values_of(build_source("locale_phrases", **PHRASES)).items()
    }
    assert all(rule["changed"] == rule["dropped"] == 0 for rule in cleaned.report["rules"])
