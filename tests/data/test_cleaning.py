"""The rules of cleaning, each by itself."""

import html
import json
import re
import time
import unicodedata

import ftfy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmlab.data.cleaning import parts
from lmlab.data.cleaning.batches import BATCH_CHARACTERS, BATCH_RECORDS, RecordRules, batches
from lmlab.data.cleaning.dropping import letter_shares, line_noise, wrong_length
from lmlab.data.cleaning.exact import content_keys, repeats
from lmlab.data.cleaning.markup import without_markup
from lmlab.data.cleaning.rewriting import (
    REPAIR,
    Edges,
    normalize,
    repair_encoding,
    rewritings,
    tidy_whitespace,
    without_controls,
)
from lmlab.data.cleaning.settings import LengthSettings, LineNoiseSettings
from lmlab.data.cleaning.shingles import shingles
from lmlab.data.cleaning.tally import EXAMPLE_CHARACTERS, RuleTally
from lmlab.data.source import Record
from tests.data.cleaned import cleaning_settings, records, shared

# What is left of UTF-8 that was read as Windows-1252, MacRoman and others, in lines of their own and in longer ones.
BROKEN = st.lists(
    st.sampled_from(
        [
            "Ã¶",
            "Ã",
            "Ã ",
            "Â ",
            "a Â",
            "â€™",
            "â€œ",
            "√©",
            "вЂ",
            "Г¶",
            "β€™",
            "ā€",
            "\x85",
            "\x93",
            "\xa0",
            "é",
            "’",
            "中",
        ]
        + ["a", "the ", " ", "\n", "\r", "?", "\ufffd", "\x1a"]
    ),
    max_size=12,
).map("".join)
WHOLE = Edges(begins=True, ends=True)
INNER = Edges(begins=False, ends=False)
EVERY_RULE = cleaning_settings(markup={"enabled": True})
MESSY = st.text(alphabet="ab <>&;#x1 \t\r\n\x00\x0b\x0c\x1b\x85\u2028\ufeffé\u0301â€™中\U0001f600", max_size=60)


def _tidy(text: str, edges: Edges = WHOLE) -> str:
    return tidy_whitespace(text, edges, maximum_blank_lines=2)


@given(MESSY)
def test_where_a_rule_says_that_it_changes_nothing_it_changes_nothing(text: str) -> None:
    for rule in rewritings(EVERY_RULE):
        if not rule.may_change(text):
            assert rule.rewrite(text, INNER) == text


@given(MESSY, MESSY)
def test_a_rule_that_cannot_change_a_text_cannot_change_a_part_of_it(one: str, two: str) -> None:
    for rule in rewritings(EVERY_RULE):
        if not rule.may_change(one + two):
            assert not rule.may_change(one)
            assert not rule.may_change(two)


@given(st.text(max_size=60))
def test_tidying_and_normalizing_twice_is_doing_it_once(text: str) -> None:
    once = _tidy(without_controls(normalize(text, "NFC")))
    assert _tidy(without_controls(normalize(once, "NFC"))) == once


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("â€œquotedâ€\x9d", "“quoted”"),
        ("schÃ¶n", "schön"),
        ("plain ASCII &amp; <b>", "plain ASCII &amp; <b>"),
        ("schön, “quoted” 中文", "schön, “quoted” 中文"),
    ],
)
def test_encoding_is_repaired_where_it_was_broken_only(broken: str, whole: str) -> None:
    assert repair_encoding(broken) == whole


@given(BROKEN)
def test_repair_leaves_out_no_line_that_the_library_would_repair(text: str) -> None:
    assert repair_encoding(text) == ftfy.fix_text(text, REPAIR)


def test_a_line_that_the_library_cuts_is_repaired_as_it_cuts_it() -> None:
    # ftfy looks for a lone A with tilde at the beginning of what it has cut.
    for text in ("x" * REPAIR.max_decode_length + "\u00c3 la carte\u00e9", "\u00e9" * 1_000_001 + "\n\u00c3 la"):
        assert repair_encoding(text) == ftfy.fix_text(text, REPAIR)


def test_mojibake_is_repaired_as_its_ground_truth_says() -> None:
    with shared("messy/mojibake_pairs.jsonl").open(encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    wrong = [pair["label"] for pair in pairs if repair_encoding(pair["original"]) != pair["fixed_encoding"]]
    # These ten are what ftfy itself records as beyond it.
    assert wrong == [pair["label"] for pair in pairs if pair["expect"] == "fail"]
    assert len(wrong) == 10


def test_letters_and_marks_become_one_character() -> None:
    assert normalize("e\u0301", "NFC") == "é"
    assert normalize("ﬁ", "NFC") == "ﬁ"
    assert normalize("ﬁ", "NFKC") == "fi"


def test_of_more_marks_than_any_language_has_thirty_are_kept() -> None:
    assert normalize("x" + "\u0316" * 100 + "y", "NFC") == "x" + "\u0316" * 30 + "y"


@given(st.text(alphabet="ae\u0301\u0316\u0327é中", max_size=28))
def test_normalizing_is_unicodes_for_text_of_any_language(text: str) -> None:
    assert normalize(text, "NFC") == unicodedata.normalize("NFC", text)


def test_controls_go_and_tabs_line_ends_and_joiners_stay() -> None:
    assert without_controls("a\x00b\x1b[1;31mc\ufeff\x7f\x9d\td\r\n👩\u200d💻\u0085") == "abc\td\r\n👩\u200d💻\u0085"


def test_whitespace_loses_what_no_reader_sees_and_keeps_indentation() -> None:
    assert _tidy("\n \n  a  \r\n\tb\t\r\r\n\n\n\n\nc \n \n") == "  a\n\tb\n\n\nc"


def test_whitespace_at_the_cuts_of_a_document_stays() -> None:
    pieces = ["\n\nfirst ", "\n second\n\n", " \nthird\n\n"]
    edges = [Edges(begins=True, ends=False), INNER, Edges(begins=False, ends=True)]
    assert [_tidy(piece, edge) for piece, edge in zip(pieces, edges, strict=True)] == [
        "first ",
        "\n second\n\n",
        "\nthird",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<p>One<br/>two</p>", "\nOne\ntwo\n"),
        ('a <a href="x">link</a> &amp; &lt;b&gt; &#65;&#x42;', "a link & <b> AB"),
        ("<script>var x = '<p>';</script>text<STYLE>p {}</style >", "text"),
        ("a < b > c, <lambda>, List<int>, &foo; & &amp x", "a < b > c, <lambda>, List<int>, &foo; & &amp x"),
    ],
)
def test_markup_loses_what_html_defines_and_nothing_else(text: str, shown: str) -> None:
    assert without_markup(text) == shown


@given(st.text(alphabet="&ampltgquo#x123;", max_size=30))
def test_entities_are_what_the_standard_library_makes_of_those_with_semicolons(text: str) -> None:
    expected = re.sub(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6});|&(?:amp|lt|gt|quot);", lambda m: html.unescape(m[0]), text)
    known = {"&amp;", "&lt;", "&gt;", "&quot;"}
    if set(re.findall(r"&[A-Za-z]\w*;", text)) <= known:
        assert without_markup(text) == expected


def test_length_judges_whole_records_without_outer_space_and_lets_pieces_be_short() -> None:
    settings = LengthSettings(enabled=True, minimum_characters=3, maximum_characters=5)
    verdict = wrong_length(["  ab  "[:5], "abc", "abcdef", "a"], np.array([False, False, False, True]), settings)
    assert verdict.drops.tolist() == [True, False, True, False]
    assert verdict.why == {0: "2 characters, fewer than 3", 2: "6 characters, more than 5"}


@given(st.lists(st.text(alphabet="aé中\u0301 \n\t1-🎉", max_size=20), max_size=5))
def test_letter_shares_are_letters_over_what_is_not_space(texts: list[str]) -> None:
    def share(text: str) -> float:
        seen = [c for c in text if not c.isspace()]
        letters = [c for c in seen if c.isalpha() or unicodedata.category(c).startswith("M")]
        return len(letters) / len(seen) if seen else 1.0

    assert letter_shares(texts, maximum_word_characters=100).tolist() == [share(text) for text in texts]


def test_letters_of_overlong_words_do_not_count() -> None:
    texts = ["a" * 11 + " bbbb", "a" * 10, "中" * 40]
    assert letter_shares(texts, maximum_word_characters=10).tolist() == [4 / 15, 1.0, 1.0]


@given(st.lists(MESSY, min_size=1, max_size=9))
def test_texts_in_parts_are_judged_as_all_together(texts: list[str]) -> None:
    def judged(part_characters: int) -> list:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parts, "PART_CHARACTERS", part_characters)
            shares = letter_shares(texts, maximum_word_characters=10)
            return [shares.tolist(), *(array.tolist() for array in shingles(texts, shingle_words=2))]

    assert judged(1) == judged(20) == judged(1 << 16)


def test_line_noise_drops_pictures_and_keeps_prose_tables_and_other_scripts() -> None:
    settings = LineNoiseSettings(enabled=True, minimum_letter_share=0.3, maximum_word_characters=500)
    prose = ["To be, or not to be.", "x = 12 y = 34 | a | b |", "这是中文。", "नमस्ते दुनिया", "Это русский."]
    noise = ["%$#@! 1234 //// ====", "QmFzZTY0" * 200, "\ufffd\ufffdP\ufffd\ufffd\ufffd"]
    assert line_noise([*prose, *noise], settings).drops.tolist() == [False] * 5 + [True] * 3


def test_the_picture_that_was_decoded_as_text_is_line_noise() -> None:
    text = shared("messy/binary_garbage.txt").read_text(encoding="utf-8")
    settings = LineNoiseSettings(enabled=True, minimum_letter_share=0.3, maximum_word_characters=500)
    assert line_noise([text], settings).drops.tolist() == [True]


@given(st.lists(st.sampled_from(["a", "b", "c", "d", "ab"]), max_size=20))
def test_repeats_are_the_later_rows_with_the_content_of_an_earlier(values: list[str]) -> None:
    found = [
        pair
        for part in repeats(content_keys([values]))
        for pair in zip(part.rows.tolist(), part.firsts.tolist(), strict=True)
    ]
    assert sorted(found) == [(row, values.index(v)) for row, v in enumerate(values) if values.index(v) < row]


def test_content_of_several_fields_is_not_their_concatenation() -> None:
    keys = content_keys([["a", "ab", "a"], ["bc", "c", "bc"]])
    assert keys[0] == keys[2] != keys[1]


@given(st.lists(st.text(alphabet="aB1 ,\n", max_size=30), max_size=6), st.integers(1, 4))
def test_shingles_are_equal_where_the_word_sequences_are(texts: list[str], shingle_words: int) -> None:
    expected = []
    for text in texts:
        words = re.findall("[a-z0-9]+", text.lower())
        expected.append([tuple(words[i : i + shingle_words]) for i in range(len(words) - shingle_words + 1)])
    found = shingles(texts, shingle_words=shingle_words)
    assert found.num_shingles.tolist() == [len(runs) for runs in expected]
    flat = [run for runs in expected for run in runs]
    pairs = set(zip(flat, found.hashes.tolist(), strict=True))
    assert len(pairs) == len(set(flat)) == len({code for _, code in pairs})


def test_characters_of_scripts_without_spaces_are_words() -> None:
    assert shingles(["中文字 abc, Gruß", ""], shingle_words=2).num_words.tolist() == [5, 0]


def test_batches_keep_the_order_and_count_pieces_across_their_borders() -> None:
    texts = ["x" * (BATCH_CHARACTERS // 3)] * 10
    found = list(batches([*records(texts, document=5), Record("train", "last", 6, ("y",))]))
    assert len(found) > 2
    assert [i for batch in found for i in batch.ids] == [*(f"r:{n}" for n in range(10)), "last"]
    assert [p for batch in found for p in batch.pieces.tolist()] == [*range(10), 0]
    assert [e for batch in found for e in batch.ends.tolist()] == [False] * 9 + [True, True]


def test_batches_of_many_short_records_are_bounded() -> None:
    found = list(batches(records(["x"] * (2 * BATCH_RECORDS + 5))))
    assert sum(len(batch.ids) for batch in found) == 2 * BATCH_RECORDS + 5
    assert max(len(batch.ids) for batch in found) <= BATCH_RECORDS
    assert all(batch.ends.all() for batch in found)
    assert all((batch.pieces == 0).all() for batch in found)


def test_batches_part_the_splits() -> None:
    mixed = [Record(("train", "test")[number % 2], str(number), number, ("x",)) for number in range(6)]
    assert {batch.split: batch.ids for batch in batches(mixed)} == {"train": ["0", "2", "4"], "test": ["1", "3", "5"]}


@given(st.lists(MESSY, min_size=1, max_size=8))
def test_a_batch_of_texts_is_cleaned_as_each_text_by_itself(texts: list[str]) -> None:
    settings = cleaning_settings(length={"enabled": False}, line_noise={"enabled": False})
    (together,) = batches(records(texts))
    alone = [next(iter(batches(records([text])))) for text in texts]
    cleaned = [RecordRules(settings, [0]).apply(batch).columns[0][0] for batch in alone]
    assert list(RecordRules(settings, [0]).apply(together).columns[0]) == cleaned


def test_a_change_is_counted_once_for_a_record_and_shown_around_the_first_difference() -> None:
    rules = RecordRules(EVERY_RULE, [0])
    text = "a" * 300 + " schÃ¶n"
    (batch,) = batches([Record("train", "one", 0, (text, text))])
    rules.apply(batch)
    tally = rules.tallies["encoding_repair"]
    assert tally.changed == 1
    assert tally.examples[0].before == "..." + "a" * 36 + " schÃ¶n"
    assert tally.examples[0].after == "..." + "a" * 36 + " schön"


def test_examples_are_few_and_short() -> None:
    tally = RuleTally("any")
    for number in range(10):
        tally.add_drop(str(number), "x" * 1000, "because")
    assert [example.id for example in tally.examples] == ["0", "1", "2"]
    assert len(tally.examples[0].before) == EXAMPLE_CHARACTERS + len("...")


HOSTILE = {
    "spaces": " " * 500_000,
    "spaces before words": (" " * 999 + "x") * 500,
    "line feeds": "\n" * 500_000,
    "loose lines": " \n" * 250_000,
    "carriage returns": "\r" * 500_000,
    "marks in the wrong order": "a" + "\u0301\u0316" * 125_000,
    "open tags": "<a " * 170_000,
    "a tag of many words": "<" + "div " * 125_000 + ">",
    "scripts after their end": "</script>" + "<script>" * 60_000,
    "scripts that nest": "<script>" * 30_000 + "</script>" * 30_000,
    "ampersands": "&a" * 250_000,
    "escapes": "\x1b[" * 250_000,
    "an escape without end": "\x1b[" + "1" * 500_000,
    "mojibake": "â€™" * 75_000,
    "mojibake of letters": "Ã" * 250_000,
    "every character": "".join(map(chr, range(0x20, 0xD800))) * 3,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_rule_takes_more_than_a_second_a_megabyte(name: str) -> None:
    text = HOSTILE[name]
    (warm,) = batches(records(["é"]))
    RecordRules(EVERY_RULE, [0]).apply(warm)
    (batch,) = batches(records([text]))
    started = time.process_time()
    RecordRules(EVERY_RULE, [0]).apply(batch)
    shingles([text], shingle_words=5)
    assert time.process_time() - started < len(text.encode()) / 1e6
