"""What each rule did: counts, and a few examples cut to where they show it."""

from typing import NamedTuple

NUM_EXAMPLES = 3
EXAMPLE_CHARACTERS = 160
LEAD_CHARACTERS = 40


class Example(NamedTuple):
    """A record before and after a rule; `after` is empty and `why` says more if the rule dropped it."""

    id: str
    before: str
    after: str
    why: str


class RuleTally:
    """The counts of one rule; a record that a rule changes in several fields counts once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.changed = 0
        self.dropped = 0
        self.examples: list[Example] = []

    def add_change(self, record_id: str, before: str, after: str) -> None:
        """Keep this change as an example while there are few."""
        if len(self.examples) < NUM_EXAMPLES:
            start = max(0, _first_difference(before, after) - LEAD_CHARACTERS)
            self.examples.append(Example(record_id, _cut(before, start), _cut(after, start), ""))

    def add_drop(self, record_id: str, text: str, why: str) -> None:
        """Keep this dropped record as an example while there are few."""
        if len(self.examples) < NUM_EXAMPLES:
            self.examples.append(Example(record_id, _cut(text, 0), "", why))

    def add(self, later: "RuleTally") -> None:
        """Add what the rule did to later records."""
        self.changed += later.changed
        self.dropped += later.dropped
        self.examples = [*self.examples, *later.examples][:NUM_EXAMPLES]

    def report(self) -> dict[str, object]:
        """The tally as JSON values."""
        return {
            "name": self.name,
            "changed": self.changed,
            "dropped": self.dropped,
            "examples": [example._asdict() for example in self.examples],
        }


def _first_difference(before: str, after: str) -> int:
    for place, (old, new) in enumerate(zip(before, after, strict=False)):
        if old != new:
            return place
    return min(len(before), len(after))


def _cut(text: str, start: int) -> str:
    end = start + EXAMPLE_CHARACTERS
    return ("..." if start else "") + text[start:end] + ("..." if len(text) > end else "")
