"""The page: what happens when it opens, when a model is chosen, and when one is asked."""

from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from lmlab.errors import InputError
from lmlab.playground.asking import Shown, answering, fault_line, in_turn, paced
from lmlab.playground.catalog import EXPORT, Catalog
from lmlab.playground.drawing import about_html, error_html, panel_html
from lmlab.playground.form import Asked, form_updates
from lmlab.playground.inputs import RECORDS, examples_for
from lmlab.playground.layout import MOST_FIELDS, Parts, choices_of, lay_out, new_page
from lmlab.playground.opened import OpenModels, facts_of

if TYPE_CHECKING:
    from pathlib import Path

    import gradio as gr

    from lmlab.applying.applier import Applier
    from lmlab.applying.opening import Engine

Updates = dict[Any, Any]
QUEUE_LENGTH = 16
"""Questions that may wait."""
MOST_VISITORS = 100
"""Open pages whose last answers are kept: gradio would keep those of 10,000, a tenth of a megabyte each."""
NO_ATTENTION = "this model has no attention"


def build_page(catalog: Catalog, models: OpenModels, project: "Path") -> "gr.Blocks":
    """The page of a project's models."""
    page = new_page()
    with page:
        playground = Playground(catalog, models, project, lay_out(catalog.first, compared=catalog.compared))
        playground.wire(page)
    page.state_session_capacity = MOST_VISITORS
    page.queue(max_size=QUEUE_LENGTH, default_concurrency_limit=1, api_open=False)
    return page


class Playground:
    """What the page does; each method answers an event with the parts that change."""

    def __init__(self, catalog: Catalog, models: OpenModels, project: "Path", parts: Parts) -> None:
        self._catalog, self._models, self._project, self._parts = catalog, models, project, parts
        self._names = {choice.address: choice.name for choice in catalog.first}
        self._turn = Lock()

    def wire(self, page: "gr.Blocks") -> None:
        """Connect the events."""
        import gradio as gr

        parts = self._parts
        settings = [*parts.settings.values()]
        answered = [*parts.panels, parts.shown, parts.stop]
        chosen = [
            *(*parts.abouts, *parts.fields, parts.examples, parts.options, *settings, parts.seed),
            *(parts.wants_attention, parts.again, *parts.columns, *answered, parts.records),
        ]
        # Not through gradio's queue: what joins it in the moment in which its last event ends may be lost (6.31).
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
        # All that share the name wait for one another.
        alone: dict[str, Any] = {**quiet, "queue": True, "concurrency_id": "model", "concurrency_limit": 1}
        question = [*parts.choosers, parts.wants_attention, parts.seed, *parts.fields, *settings]
        again = parts.again.click(_next_seed, parts.seed, parts.seed, **quiet)
        asked: list[Any] = [
            gr.on([parts.ask.click, *(field.submit for field in parts.fields)], self.ask, question, answered, **alone),
            again.then(self.ask, question, answered, **alone),
        ]
        parts.stop.click(self.stop, parts.shown, answered, cancels=asked, **quiet)
        parts.wants_attention.input(self.draw, [parts.wants_attention, parts.shown], answered, **quiet)
        parts.examples.click(self.take, [parts.examples, parts.records], parts.fields, **quiet)
        arrival = page.load(self.arrive, None, [*parts.choosers, parts.fault], **quiet)
        # A model that is known before the store has answered need not wait for it.
        opening = page.load if self._catalog.first else arrival.then
        opening(self.choose, parts.choosers, chosen, **quiet)
        # Two choices soon after each other: the last one counts.
        seen: dict[str, Any] = {
            "show_progress": "minimal",
            "show_progress_on": parts.abouts,
            "trigger_mode": "always_last",
        }
        gr.on([one.input for one in parts.choosers], self.choose, parts.choosers, chosen, **quiet | seen)

    def arrive(self) -> Updates:
        """Offer all models that there are now."""
        import gradio as gr

        first, stored, line = self._catalog.first, [], ""
        try:
            known = {choice.address for choice in first}
            stored = [choice for choice in self._catalog.stored() if choice.address not in known]
        except Exception as error:
            line = fault_line(error)
        choices = [*first, *stored]
        if not choices and not line:
            line = "no model is registered yet: `make repro` trains and registers one"
        self._names |= {choice.address: choice.name for choice in choices}
        # What was chosen meanwhile stays.
        value: dict[str, Any] = {} if first or not choices else {"value": choices[0].address}
        one, other = self._parts.choosers
        return {
            self._parts.fault: gr.update(value=error_html(line), visible=bool(line)),
            one: gr.update(choices=choices_of(choices, 0), **value),
            other: gr.update(choices=choices_of(choices, 1)),
        }

    def choose(self, *addresses: str | None) -> Updates:
        """Show what the chosen models are and what they ask for."""
        import gradio as gr

        parts, chosen = self._parts, [address for address in addresses if address]
        updates: Updates = {about: "" for about in parts.abouts}
        appliers: list[Applier] = []
        for about, address in zip(parts.abouts, addresses, strict=True):
            if address:
                try:
                    appliers.append(self._open(address, beside=appliers))
                    updates[about] = about_html(appliers[-1], facts_of(self._catalog.folder_of(address)))
                except Exception as error:
                    updates[about] = error_html(fault_line(error))
        updates |= {column: gr.update(visible=number < len(chosen)) for number, column in enumerate(parts.columns)}
        updates |= {**dict.fromkeys(parts.panels, ""), parts.shown: [], parts.stop: gr.update(interactive=False)}
        return updates | (self._form(appliers, chosen[0]) if appliers else {})

    def _open(self, address: str, *, beside: Sequence["Applier"]) -> "Applier":
        """The model, which can be asked what these are asked."""
        applier = self._model(address)
        if len(applier.fields) > MOST_FIELDS:
            raise InputError(f"{address}: asks for {len(applier.fields)} fields; the page has room for {MOST_FIELDS}")
        if beside and beside[0].fields != applier.fields:
            raise InputError(
                f"this model asks for {' and '.join(applier.fields)}, the first one for "
                f"{' and '.join(beside[0].fields)}: compare two that ask for the same"
            )
        return applier

    def _model(self, address: str, *, engine: "Engine" = "auto") -> "Applier":
        if address not in self._names:
            raise InputError(f"{address}: is none of the models of this page")
        return self._models.open(address, engine=engine)

    def _form(self, appliers: Sequence["Applier"], address: str) -> Updates:
        records = self._project / RECORDS if address == EXPORT else None
        examples = examples_for(appliers[0], self._catalog.folder_of(address), records=records)
        return form_updates(self._parts, appliers, examples)

    def ask(self, first: str | None, second: str | None, *given: Any) -> Iterator[Updates]:
        """Ask the chosen models one after the other; `given` is in the order in which `wire` connects it."""
        wants_attention, seed = given[:2]
        texts, values = given[2 : MOST_FIELDS + 2], given[MOST_FIELDS + 2 :]
        addresses = [address for address in (first, second) if address]
        asked = Asked(texts, dict(zip(self._parts.settings, values, strict=True)), seed)
        panels = [Shown(address, is_waiting=True) for address in addresses]
        opened: list[Applier] = []
        for number, address in enumerate(addresses):
            for shown in paced(in_turn(self._answering(address, asked, opened), self._turn, panels[number])):
                panels[number] = shown
                yield self._seen(panels, is_busy=True)
            if wants_attention:
                panels[number] = self._with_picture(panels[number])
        yield self._seen(panels, is_busy=False)

    def _answering(self, address: str, asked: Asked, opened: list["Applier"]) -> Iterator[Shown]:
        applier = self._open(address, beside=opened)
        opened.append(applier)
        for shown in answering(applier, asked.question(applier)):
            yield shown._replace(address=address)

    def draw(self, wants_attention: bool, panels: list[Shown]) -> Updates:
        """Draw where the models looked when they wrote the answers that are there, or take the pictures away."""
        drawn = [self._with_picture(shown) if wants_attention else shown._replace(picture=None) for shown in panels]
        return self._seen(drawn, is_busy=False)

    def _with_picture(self, shown: Shown) -> Shown:
        if not shown.prompt or not shown.answer:
            return shown
        from lmlab.playground.attention import attention_picture

        try:
            with self._turn:
                # What runs a model fastest does not say where the model looks.
                applier = self._model(shown.address, engine="torch")
                picture = attention_picture(applier, shown.prompt, shown.answer)
        except Exception as error:
            return shown._replace(error=fault_line(error))
        notes = tuple(note for note in shown.notes if note != NO_ATTENTION)
        return shown._replace(picture=picture, notes=notes if picture else (*notes, NO_ATTENTION))

    def stop(self, panels: list[Shown]) -> Updates:
        """What was written until now."""
        stopped = [
            shown._replace(is_busy=False, is_waiting=False, notes=(*shown.notes, "stopped"))
            if shown.is_busy or shown.is_waiting
            else shown
            for shown in panels
        ]
        return self._seen(stopped, is_busy=False)

    def take(self, number: int, records: list[Mapping[str, str]]) -> Updates:
        """Fill in an example."""
        return dict(zip(self._parts.fields, records[number].values(), strict=False))

    def _seen(self, panels: Sequence[Shown], *, is_busy: bool) -> Updates:
        import gradio as gr

        return {
            **{
                panel: panel_html(self._names.get(shown.address, shown.address), shown)
                for panel, shown in zip(self._parts.panels, panels, strict=False)
            },
            self._parts.shown: list(panels),
            self._parts.stop: gr.update(interactive=is_busy),
        }


def _next_seed(seed: int | None) -> int:
    return (seed or 0) + 1
