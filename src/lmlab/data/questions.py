"""Questions about a function that the sections of its docstring answer."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from lmlab.data.numpydoc import Entry, Section, choices_of, default_of, meaning_of, type_of
from lmlab.text import hash_fraction

NOUNS = {
    "Parameters": "parameter",
    "Other Parameters": "parameter",
    "Attributes": "attribute",
    "Returns": "returned value",
}
ANSWERS: dict[str, Callable[[Entry], str]] = {
    "type": type_of,
    "default": default_of,
    "choices": choices_of,
    "meaning": meaning_of,
}
TEMPLATES = {
    "type": (
        "What type is the {noun} {name} of {function}?",
        "What is the type of {name} in {function}?",
        "Of which type is the {noun} {name} of {function}?",
    ),
    "default": (
        "What is the default of {name} in {function}?",
        "Which value does the {noun} {name} of {function} have by default?",
        "What is the default value of {name} in {function}?",
    ),
    "choices": (
        "Which values does {name} of {function} take?",
        "What are the possible values of {name} in {function}?",
        "Which values can the {noun} {name} of {function} have?",
    ),
    "meaning": (
        "What does {name} mean in {function}?",
        "What does the documentation of {function} say about {name}?",
        "What is the meaning of the {noun} {name} of {function}?",
    ),
}
# Parameters are for something; what is returned just is.
PARAMETER_MEANINGS = (
    "What does the parameter {name} of {function} do?",
    "What is the parameter {name} of {function} for?",
    *TEMPLATES["meaning"],
)
# A returned value without a name.
UNNAMED_TEMPLATES = {
    "type": ("What type does {function} return?", "Of which type is what {function} returns?"),
    "meaning": ("What does {function} return?", "What is returned by {function}?"),
}


class Bounds(NamedTuple):
    """How many questions a function gets, and how many characters a context and an answer may have."""

    questions: int
    context: int
    answer: int


class Question(NamedTuple):
    """A question, the text that answers it, and the answer."""

    id: str
    kind: str
    question: str
    context: str
    answer: str


def questions_on(function: str, sections: Sequence[Section], *, id: str, bounds: Bounds) -> list[Question]:
    """Questions on a function in the order of its sections, of as many kinds as there are.

    The id is the function's own: it alone decides which are asked and how. An answer about a type, a default
    or choices is a part of its context; one about a meaning is a sentence of it, put on one line.
    """
    found = [question for section in sections for question in _all_on(function, section, id, bounds)]
    return _mixed({question.id: question for question in reversed(found)}, bounds.questions)


def _all_on(function: str, section: Section, function_id: str, bounds: Bounds) -> Iterator[Question]:
    for number, entry in enumerate(section.entries):
        kinds = _templates(section, entry)
        if kinds and len(entry.text) <= bounds.context:
            context = context_around(section.entries, number, maximum_characters=bounds.context)
            for kind, templates in kinds.items():
                answer = ANSWERS[kind](entry)
                is_asked_as_choices = kind == "type" and answer == choices_of(entry)
                if answer and len(answer) <= bounds.answer and not is_asked_as_choices:
                    id = f"{function_id}:{section.title}:{entry.name}:{kind}"
                    template = templates[int(hash_fraction(id) * len(templates))]
                    question = template.format(noun=NOUNS[section.title], name=entry.name, function=function)
                    yield Question(id, kind, question, context, answer)


def _templates(section: Section, entry: Entry) -> dict[str, tuple[str, ...]]:
    if entry.name and NOUNS[section.title] == "parameter":
        return {**TEMPLATES, "meaning": PARAMETER_MEANINGS}
    if entry.name:
        return TEMPLATES
    # Of several entries without names one cannot say which is meant; without a description it may be prose.
    is_unnamed_return = section.title == "Returns" and len(section.entries) == 1 and entry.description
    return UNNAMED_TEMPLATES if is_unnamed_return else {}


def context_around(entries: Sequence[Entry], number: int, *, maximum_characters: int) -> str:
    """The text of an entry and of as many of its neighbours as fit, the nearest first and the later one before."""
    first = last = number
    size = len(entries[number].text)
    while True:
        fitting = [
            neighbour
            for neighbour in (last + 1, first - 1)
            if 0 <= neighbour < len(entries) and size + 1 + len(entries[neighbour].text) <= maximum_characters
        ]
        if not fitting:
            return "\n".join(entry.text for entry in entries[first : last + 1])
        nearest = min(fitting, key=lambda neighbour: abs(neighbour - number))
        first, last = min(first, nearest), max(last, nearest)
        size += 1 + len(entries[nearest].text)


def _mixed(questions: dict[str, Question], count: int) -> list[Question]:
    """As many of the questions, in their order in the section, kind by kind in turn."""
    turns: Counter[str] = Counter()
    ranked = []
    for id in sorted(questions, key=hash_fraction):
        kind = questions[id].kind
        ranked.append((turns[kind], hash_fraction(id), id))
        turns[kind] += 1
    chosen = {id for _, _, id in sorted(ranked)[:count]}
    return [question for question in reversed(questions.values()) if question.id in chosen]
