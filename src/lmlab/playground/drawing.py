"""What a page shows, as HTML; every text of a person or a model is escaped."""

from collections.abc import Sequence
from html import escape
from itertools import islice
from typing import TYPE_CHECKING

from lmlab.charts import shortened_label
from lmlab.playground.asking import Shown

if TYPE_CHECKING:
    from lmlab.applying.applier import Applier
    from lmlab.playground.attention import Picture
    from lmlab.playground.opened import Facts

MOST_LABELS = 10
TOKEN_CHARACTERS = 14
LOADING = '<p class="lm-about">loading the model...</p>'
DECODES = {"sampling": "writes token by token", "beam": "searches the likeliest answer", "ranking": "ranks labels"}


def panel_html(name: str, shown: Shown) -> str:
    """One model's answer with what belongs to it."""
    parts = [f'<h2 class="lm-name">{escape(name)}</h2>', _answer(shown)]
    if shown.probabilities is not None:
        parts.append(_bars(shown.probabilities))
    if shown.error:
        parts.append(error_html(shown.error))
    parts += [f'<p class="lm-note">{escape(note)}</p>' for note in shown.notes]
    if shown.picture is not None:
        parts.append(_heat_map(shown.picture))
        parts += [f'<p class="lm-note">{escape(note)}</p>' for note in shown.picture.notes]
    return "\n".join(part for part in parts if part)


def _answer(shown: Shown) -> str:
    if shown.probabilities is not None:
        return ""
    opening = f'<span class="lm-opening">{escape(shown.opening)}</span>' if shown.opening else ""
    if shown.is_waiting:
        return '<div class="lm-answer"><span class="lm-empty">waits for the other model</span></div>'
    if shown.text or shown.is_busy:
        cursor = '<span class="lm-cursor"></span>' if shown.is_busy else ""
        written = f'<span class="lm-written">{escape(shown.text)}</span>{cursor}'
    elif shown.error:
        return ""
    else:
        written = '<span class="lm-empty">the model ended at once: its answer is empty</span>'
    return f'<div class="lm-answer" aria-live="polite">{opening}{written}</div>'


def _bars(probabilities: dict[str, float]) -> str:
    """The likeliest labels; what the others have together."""
    rows = "".join(_bar(label, share) for label, share in islice(probabilities.items(), MOST_LABELS))
    others = list(probabilities.values())[MOST_LABELS:]
    rest = f"{len(others)} more labels, {percent(sum(others))} together"
    note = f'<p class="lm-note">{rest}</p>' if others else ""
    return f'<div class="lm-bars">{rows}</div>{note}'


def _bar(label: str, share: float) -> str:
    track = f'<span class="lm-track"><span class="lm-fill" style="width:{100 * share:.2f}%"></span></span>'
    return f'<div class="lm-bar"><span class="lm-label">{escape(label)}</span>{track}<b>{percent(share)}</b></div>'


def _heat_map(picture: "Picture") -> str:
    """A cell for each weight, the stronger in colour the nearer to the highest; the pointer shows its number."""
    highest = max(map(max, picture.weights)) or 1.0
    head = "".join(f'<th scope="col"><span>{_token(token)}</span></th>' for token in picture.columns)
    body = "".join(
        f'<tr><th scope="row">{_token(token)}</th>{_cells(token, weights, picture.columns, highest)}</tr>'
        for token, weights in zip(picture.rows, picture.weights, strict=True)
    )
    return (
        '<h3 class="lm-name lm-looks">Where the model looks</h3>'
        '<p class="lm-about">How much each token of the answer (row) looks at each of the prompt (column): '
        "the darker, the more</p>"
        f'<div class="lm-wide"><table class="lm-map"><tr><td></td>{head}</tr>{body}</table></div>'
    )


def _cells(row: str, weights: Sequence[float], columns: Sequence[str], highest: float) -> str:
    return "".join(
        f'<td style="--w:{100 * weight / highest:.0f}%" title="{escape(f"{row} → {column}: {percent(weight)}")}"></td>'
        for column, weight in zip(columns, weights, strict=True)
    )


def _token(text: str) -> str:
    return escape(shortened_label(text, TOKEN_CHARACTERS))


def percent(share: float) -> str:
    """The share in percent, with a place after the point."""
    return f"{100 * share:.1f} %"


def error_html(line: str) -> str:
    """A line that says what is wrong."""
    return f'<p class="lm-error" role="alert">{escape(line)}</p>'


def about_html(applier: "Applier", facts: "Facts | None") -> str:
    """A line on the model."""
    model = "" if facts is None else f"{facts.kind} with {_rounded(facts.parameters)} parameters"
    bound = applier.model.context_length
    reads = "" if bound is None else f"reads {bound:,} tokens at once"
    words = [model, f"{applier.tokenizer.vocabulary_size:,} kinds of tokens", reads, f"run by {applier.engine}"]
    task = f"<b>{escape(applier.task.name.replace('_', ' ').capitalize())}</b>: {DECODES[applier.task.decoding.name]}"
    return f'<p class="lm-about">{task}<br>{escape(" · ".join(word for word in words if word))}</p>'


def _rounded(number: int) -> str:
    if number < 1000:
        return str(number)
    return f"{number / 1000:.3g} thousand" if number < 999_500 else f"{number / 1e6:,.3g} million"
