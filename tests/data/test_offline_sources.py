"""Sources that need no network: parts of docstrings, and questions on parameters."""

from collections import Counter
from pathlib import Path

import pytest

from lmlab.data import questions
from lmlab.data.docstrings import body_of, read_docstrings, summary_of
from lmlab.data.numpydoc import (
    Entry,
    Section,
    choices_of,
    default_of,
    meaning_of,
    read_sections,
    type_of,
)
from lmlab.data.packages import Module
from lmlab.data.questions import Bounds, context_around, questions_on
from lmlab.data.sentences import sentences
from lmlab.errors import InputError
from tests.data.cleaned import build_source, source_settings

DOCS = {"packages": ["networkx"], "minimum_characters": 100}

DOCSTRING = """Fit the model.

Parameters
----------
alpha : float, default=1.0
    How strong the penalty is. It must
    be positive.

solver : {'svd',   'sag'}, optional (default: 'svd')
    The solver,
    one of two.

**params : dict
    See the notes.

Returns
-------
ndarray of shape (n,)
    What was fitted.

Notes
-----
x : not a parameter
"""


# Parts of docstrings


def test_sentences_end_before_capitals_and_not_after_abbreviations() -> None:
    assert sentences("One, e.g. This. Two `x`.\nThree? (Four.)") == ["One, e.g. This.", "Two `x`.", "Three?", "(Four.)"]
    assert sentences("Version 1.5 is here. it stays one") == ["Version 1.5 is here. it stays one"]
    assert sentences("") == []


@pytest.mark.parametrize(
    ("text", "summary", "body"),
    [
        ("Add\ntwo numbers.\n\n    x\n\ny\n", "Add two numbers.", "    x\n\ny"),
        ("One. Two. Three.\n \nBody", "One. Two. Three.", "Body"),
        ("One. Two. Three. Four.\n\nBody", "", ""),
        ("Without an end\n\nBody", "", ""),
        (">>> f(1).\n\nBody", "", ""),
        ("A" * 300 + ".\n\nBody", "", ""),
        ("Alone.", "Alone.", ""),
    ],
)
def test_a_summary_is_a_first_paragraph_of_one_to_three_sentences(text: str, summary: str, body: str) -> None:
    assert (summary_of(text), body_of(text)) == (summary, body)


def test_modules_have_the_names_that_python_imports_them_by() -> None:
    assert Module("p", "p/a/_b.py", Path()).dotted_name == "p.a._b"
    assert Module("p", "p/a/__init__.py", Path()).dotted_name == "p.a"


def test_package_docs_give_the_parts_that_columns_name() -> None:
    columns = {"document": "body", "summary": "summary", "of": "name", "label": "package"}
    source = build_source("package_docs", **DOCS, columns=columns)
    assert source.fields == ("document", "summary", "of", "label")
    assert source.content == ("document", "summary")
    whole = {r.id: r.values[0] for r in build_source("package_docs", **DOCS).records()}
    found = list(source.records())
    for record in found:
        document, summary, name, package = record.values
        first, _, rest = whole[record.id].partition("\n\n")
        assert " ".join(first.split()) == summary
        assert rest.strip("\n") == document
        assert package == "networkx"
        assert name.startswith("networkx")
    names = {record.id: record.values[2] for record in found}
    assert names["networkx/algorithms/clique.py:find_cliques"] == "networkx.algorithms.clique.find_cliques"
    assert [record.document for record in found] == list(range(len(found)))
    assert 300 < len(found) < len(whole)


def test_columns_do_not_change_the_split_of_a_docstring() -> None:
    whole = {r.id: r.split for r in build_source("package_docs", **DOCS).records()}
    columns = {"text": "summary", "label": "package"}
    source = build_source("package_docs", **DOCS, columns=columns)
    assert source.content == ("text",)
    assert {r.id: r.split for r in source.records()}.items() <= whole.items()
    assert source.digest() != build_source("package_docs", **DOCS).digest()


def test_the_default_columns_are_docstring_and_package() -> None:
    named = build_source("package_docs", **DOCS, columns={"text": "docstring", "package": "package"})
    default = build_source("package_docs", **DOCS)
    assert (named.fields, named.content) == (default.fields, default.content) == (("text", "package"), ("text",))
    assert list(named.records()) == list(default.records())


def test_an_unknown_part_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        InputError, match=r"source\.columns\.text: a docstring has no such part; did you mean 'summary'"
    ):
        source_settings("package_docs", columns={"text": "sumary"})


# Questions


def test_sections_are_read_with_names_specifications_and_descriptions() -> None:
    parameters, returns = read_sections(DOCSTRING)
    assert (parameters.title, returns.title) == ("Parameters", "Returns")
    alpha, solver, params = parameters.entries
    assert [entry.name for entry in parameters.entries] == ["alpha", "solver", "params"]
    assert alpha.text == "alpha : float, default=1.0\n    How strong the penalty is. It must\n    be positive."
    assert solver.specification == "{'svd', 'sag'}, optional (default: 'svd')"
    assert solver.description == "The solver,\none of two."
    assert params.specification == "dict"
    assert returns.entries == (
        Entry("", "ndarray of shape (n,)", "What was fitted.", "ndarray of shape (n,)\n    What was fitted."),
    )


def _entry(specification: str, description: str = "") -> Entry:
    return Entry("x", specification, description, "")


@pytest.mark.parametrize(
    ("specification", "type_", "default", "choices"),
    [
        ("float, default=1.0", "float", "1.0", ""),
        ("{'a', 'b'}, optional (default: 'a')", "{'a', 'b'}", "'a'", "{'a', 'b'}"),
        ("{array-like, sparse matrix} of shape (n, m)", "{array-like, sparse matrix} of shape (n, m)", "", ""),
        ("int, optional", "int", "", ""),
        ("tuple of shape (n,", "", "", ""),
        ("bool, default (True)", "bool", "(True)", ""),
        ("int or None, default is None", "int or None", "None", ""),
        ("", "", "", ""),
    ],
)
def test_a_specification_has_a_type_a_default_and_choices(
    specification: str, type_: str, default: str, choices: str
) -> None:
    entry = _entry(specification)
    assert (type_of(entry), default_of(entry), choices_of(entry)) == (type_, default, choices)


@pytest.mark.parametrize(
    ("description", "default"),
    [
        ("The size. Default is 5.", "5"),
        ("Defaults to ``None``, else 3.", "``None``"),
        ("By default is used what fits.", ""),
        ("Default is 5 here. Default is 6 there.", ""),
    ],
)
def test_a_description_may_say_the_default(description: str, default: str) -> None:
    assert default_of(_entry("int", description)) == default


def test_a_meaning_is_the_first_sentence_of_a_description() -> None:
    assert meaning_of(_entry("", "How strong\nit is. It must be so.")) == "How strong it is."
    assert meaning_of(_entry("", "without an end")) == ""


def test_questions_ask_in_words_of_the_templates_and_the_context_holds_the_answer() -> None:
    sections = list(read_sections(DOCSTRING))
    bounds = Bounds(questions=100, context=1000, answer=100)
    found = questions_on("Ridge", sections, id="m.py:Ridge", bounds=bounds)
    answers = {question.id.removeprefix("m.py:Ridge:"): question.answer for question in found}
    assert answers == {
        "Parameters:alpha:type": "float",
        "Parameters:alpha:default": "1.0",
        "Parameters:alpha:meaning": "How strong the penalty is.",
        "Parameters:solver:default": "'svd'",
        "Parameters:solver:choices": "{'svd', 'sag'}",
        "Parameters:solver:meaning": "The solver, one of two.",
        "Parameters:params:type": "dict",
        "Parameters:params:meaning": "See the notes.",
        "Returns::type": "ndarray of shape (n,)",
        "Returns::meaning": "What was fitted.",
    }
    assert list(answers) == [question.id.removeprefix("m.py:Ridge:") for question in found]
    asked = {question.id.removeprefix("m.py:Ridge:"): question.question for question in found}
    possible = [
        template.format(noun="parameter", name="alpha", function="Ridge") for template in questions.TEMPLATES["type"]
    ]
    assert asked["Parameters:alpha:type"] in possible
    assert all(question.answer in question.context for question in found if question.kind != "meaning")


def test_few_questions_are_of_as_many_kinds_as_there_are() -> None:
    sections = list(read_sections(DOCSTRING))
    for id in ("a", "b", "c"):
        found = questions_on("f", sections, id=id, bounds=Bounds(questions=4, context=1000, answer=100))
        assert sorted(question.kind for question in found) == ["choices", "default", "meaning", "type"]


def test_a_context_keeps_the_nearest_parameters_that_fit() -> None:
    entries = [Entry(name, "", "", name * 10) for name in "abcde"]
    assert context_around(entries, 2, maximum_characters=10) == "c" * 10
    assert context_around(entries, 2, maximum_characters=21) == "c" * 10 + "\n" + "d" * 10
    assert context_around(entries, 2, maximum_characters=32) == "\n".join(name * 10 for name in "bcd")
    assert context_around(entries, 4, maximum_characters=32) == "\n".join(name * 10 for name in "cde")
    assert context_around(entries, 0, maximum_characters=99) == "\n".join(name * 10 for name in "abcde")


def test_a_question_whose_own_entry_or_answer_is_too_long_is_left_out() -> None:
    section = Section(
        "Parameters", (Entry("x", "int", "Long " * 9 + "text.", "x : int\n    " + "Long " * 9 + "text."),)
    )
    of_kind = {
        (context, answer): [q.kind for q in questions_on("f", [section], id="f", bounds=Bounds(9, context, answer))]
        for context, answer in ((100, 60), (100, 10), (20, 60))
    }
    assert of_kind == {(100, 60): ["type", "meaning"], (100, 10): ["type"], (20, 60): []}


def test_package_questions_share_no_context_between_splits() -> None:
    source = build_source("package_questions", packages=["networkx"], maximum_context_characters=300)
    records = list(source.records())
    splits: dict[str, set[str]] = {}
    for record in records:
        question, context, answer = record.values
        assert question.endswith("?")
        assert len(context) <= 300
        assert len(answer) <= 200
        assert record.id.endswith(":meaning") or answer in context
        splits.setdefault(context, set()).add(record.split)
    assert {len(found) for found in splits.values()} == {1}
    assert len({record.id for record in records}) == len(records) > 1000
    most = max(Counter(record.id.rsplit(":", 3)[0] for record in records).values())
    assert most == 4


@pytest.mark.long
def test_the_default_packages_give_at_least_twenty_thousand_questions() -> None:
    assert sum(1 for _ in build_source("package_questions").records()) >= 20_000


def test_code_that_is_nested_deeply_is_read(tmp_path: Path) -> None:
    branches = "".join(f"elif x == {number}:\n    pass\n" for number in range(1200))
    (tmp_path / "deep.py").write_text(f'"""Of the module."""\nif x:\n    pass\n{branches}def f():\n    """Of f."""\n')
    found = read_docstrings(tmp_path / "deep.py", minimum_characters=1)
    assert found == [("", "Of the module."), ("f", "Of f.")]
