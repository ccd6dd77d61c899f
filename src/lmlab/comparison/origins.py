"""What decides a run's numbers beside its settings and its seed: data, the weights that it began with, code."""

from collections.abc import Sequence
from typing import NamedTuple

from lmlab.tracking.identity import CODE_TAG, SOURCE_TAG
from lmlab.tracking.reading import RunRecord

SHORT = 8
NAMED = 5


class _Origin(NamedTuple):
    """A thing that decides numbers, and the settings that a change of it may follow from."""

    label: str
    tag: str
    settings: str | None
    without: str
    """What a run that does not name it has."""


_ORIGINS = (
    _Origin("data", SOURCE_TAG, "source.", "unknown"),
    _Origin("start weights", "lmlab.started_from", "training.start_from", "none"),
    _Origin("code", CODE_TAG, None, "unknown"),
)


def origin_of(run: RunRecord) -> dict[str, str]:
    """The run's data, start weights and code, each as the beginning of a digest."""
    return {one.label: shortened_digest(run.tags.get(one.tag), without=one.without) for one in _ORIGINS}


def shortened_digest(digest: str | None, *, without: str) -> str:
    """The beginning of a digest, in a form that nobody takes for a number such as 12e45678."""
    return f"#{digest[:SHORT]}" if digest else without


def origins_text(rows: Sequence[tuple[str, RunRecord]]) -> str:
    """In what named rows differ beside their settings, and which row has what; empty if they differ in nothing."""
    origins = [origin_of(run) for _, run in rows]
    parts = []
    for one in _ORIGINS:
        found = {
            (_settings(run, one.settings), origin[one.label]) for (_, run), origin in zip(rows, origins, strict=True)
        }
        if len(found) == len({settings for settings, _ in found}):
            continue
        names: dict[str, list[str]] = {}
        for (name, _), origin in zip(rows, origins, strict=True):
            names.setdefault(origin[one.label], []).append(name)
        parts.append(f"{one.label} " + ", ".join(f"{value} ({_listed(those)})" for value, those in names.items()))
    return "; ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return "; ".join(names[:NAMED]) + ("; ..." if len(names) > NAMED else "")


def _settings(run: RunRecord, prefix: str | None) -> tuple:
    return tuple(sorted(one for one in run.params.items() if prefix is not None and one[0].startswith(prefix)))
