"""What a page is sent, it answers or refuses in one line; what it shows of anybody's text is text, never markup."""

import asyncio
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmlab.applying.applier import Applier
from lmlab.applying.opening import open_applier
from lmlab.playground.asking import MOST_CHARACTERS, Question, Shown, answering
from lmlab.playground.attention import Picture
from lmlab.playground.catalog import Catalog, Choice
from lmlab.playground.drawing import error_html, panel_html
from lmlab.playground.guard import Guard
from lmlab.playground.inputs import LOGGED, examples_for
from lmlab.playground.layout import BOUNDS, MOST_FIELDS, lay_out, new_page
from lmlab.playground.opened import OpenModels
from lmlab.playground.page import Playground
from tests.applying.tiny_bundles import TASKS, tiny_bundle
from tests.hostile.inputs import ANY_TEXT, BROKEN_TEXT, LONG_TEXT, LURES, VALUES, Long, mutated, spelt
from tests.hostile.profiles import fuzz
from tests.hostile.watching import attempt, watched

MODELS = ("transformer", "lstm", "gru")
NUMBERS = st.none() | st.sampled_from([0, 1, 2, 5, 0.5, 1.0, 1e-9, 10**9, 2**70, -1, float("nan"), float("inf")])
SETTINGS = st.fixed_dictionaries({name: NUMBERS | st.just(bounds.low) for name, bounds in BOUNDS.items()})
TEXTS = ANY_TEXT | BROKEN_TEXT | LONG_TEXT | st.just(Long("x", MOST_CHARACTERS + 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    for number, task in enumerate(TASKS):
        tiny_bundle(folder / task, task, model=MODELS[number % len(MODELS)])
    return folder


@pytest.fixture(scope="module")
def appliers(folder: Path) -> dict[str, Applier]:
    return {task: open_applier(folder / task) for task in TASKS}


@pytest.fixture(scope="module")
def page(folder: Path) -> Playground:
    catalog = Catalog([Choice(task, task) for task in TASKS], None, list, lambda address: folder / address)

    async def laid_out() -> Any:
        # Where no event loop runs, gradio makes several and closes none.
        with new_page():
            return lay_out(catalog.first, compared=None)

    return Playground(catalog, OpenModels(catalog.folder_of), folder, asyncio.run(laid_out()))


@fuzz(suite=50, parts=2)
@given(
    task=st.sampled_from(list(TASKS)),
    texts=st.lists(TEXTS, min_size=1, max_size=2),
    changes=st.dictionaries(st.sampled_from(list(BOUNDS)) | ANY_TEXT, VALUES | NUMBERS, max_size=2) | st.just({}),
    seed=st.integers(),
)
def test_questions_of_any_text_and_number(
    appliers: dict[str, Applier], task: str, texts: list[str], changes: dict[str, Any], seed: int
) -> None:
    applier = appliers[task]
    record = dict(zip(applier.fields, map(spelt, texts), strict=False))
    attempt(lambda: list(answering(applier, Question(record, changes, seed))))


@fuzz(suite=40, parts=2)
@given(
    addresses=st.tuples(*[st.sampled_from([*TASKS, "", "../secret", "/etc"]) | ANY_TEXT | st.none()] * 2),
    text=TEXTS,
    settings=SETTINGS,
    seed=NUMBERS,
    looks=st.booleans(),
)
@example(
    addresses=("language_modeling", None), text="the", settings={name: 1 for name in BOUNDS}, seed=0.5, looks=False
)
@example(
    addresses=("language_modeling", None),
    text="the",
    settings={name: 1 for name in BOUNDS},
    seed=float("nan"),
    looks=True,
)
def test_a_page_that_is_sent_anything_says_one_line(
    page: Playground,
    addresses: tuple[str | None, str | None],
    text: str,
    settings: dict[str, Any],
    seed: Any,
    looks: bool,
) -> None:
    with watched():
        updates = list(page.ask(*addresses, looks, seed, *[spelt(text)] * MOST_FIELDS, *settings.values()))
    shown: list[Shown] = updates[-1][page._parts.shown]
    for panel in shown:
        assert not panel.is_busy
        assert not panel.error.startswith("something went wrong"), panel.error
        assert "\n" not in panel.error


class Tags(HTMLParser):
    """The elements and attributes of a page's part."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(f"{tag} {name}" for name, _ in attrs)}


OURS = Tags(
    panel_html(
        "name",
        Shown("a", "o", "t", True, False, {"x": 1.0}, ("n",), "e", (1,), (1,), Picture([[1.0]], ["r"], ["c"], ["n"])),
    )
    + panel_html("name", Shown(opening="o", text="t", is_busy=True))
).found
MARKUP = st.sampled_from(['"><img src=x onerror=alert(1)>', "</span><script>", "&lt;b&gt;", "<!--", "]]>"])
SHOWN_TEXT = ANY_TEXT | MARKUP | st.sampled_from(LURES)


@fuzz(suite=40)
@given(texts=st.lists(SHOWN_TEXT, min_size=8, max_size=8), is_ranked=st.booleans())
def test_texts_are_shown_as_texts(texts: list[str], is_ranked: bool) -> None:
    name, opening, text, label, note, error, row, column = texts
    picture = Picture([[0.5]], [row], [column], [note])
    shown = Shown("a", opening, text, notes=(note,), error=error, picture=picture)
    page = panel_html(name, shown._replace(probabilities={label: 1.0}) if is_ranked else shown)
    assert Tags(page + error_html(error)).found <= OURS | Tags(error_html("e")).found


@fuzz(suite=40)
@given(
    content=mutated(b'{"columns": ["source"], "data": [["the cat"], ["the dog"]]}')
    | VALUES.map(json.dumps).map(str.encode)
)
@example(content=b"[" * 100_000)
def test_examples_of_any_bytes(appliers: dict[str, Applier], folder: Path, content: bytes) -> None:
    (folder / LOGGED).write_bytes(content)
    with watched():
        found = examples_for(appliers["translation"], folder / "translation", records=None)
    assert all(list(record) == ["source"] for record in found)


PATHS = (
    st.sampled_from(["/", "/config", "/gradio_api/queue/join", "/gradio_api/upload", "/file=/etc/passwd"]) | ANY_TEXT
)
HOSTS = (
    st.sampled_from(["127.0.0.1:7860", "localhost", "[::1]:1", "evil.example", "127.0.0.1.evil.example", ""]) | ANY_TEXT
)


@fuzz(suite=40)
@given(path=PATHS, host=HOSTS, origin=st.none() | HOSTS.map(lambda host: f"http://{host}"))
def test_only_this_machine_and_the_pages_own_requests_pass(path: str, host: str, origin: str | None) -> None:
    passed, status = asyncio.run(_guarded(path, host, origin))
    name = re.sub(r":\d+$", "", host).lower()
    if passed:
        assert name in ("127.0.0.1", "localhost", "[::1]")
        assert origin in (None, f"http://{host}")
        assert "upload" not in path
        assert "file=" not in path
    else:
        assert status in (403, 404, 421)


async def _guarded(path: str, host: str, origin: str | None) -> tuple[bool, int]:
    """Whether the request reached the page, and the status of the answer."""
    passed: list[bool] = []
    sent: list[dict[str, Any]] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        passed.append(True)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    headers = [(b"host", host.encode()), *([(b"origin", origin.encode())] if origin is not None else [])]
    scope: Any = {"type": "http", "method": "GET", "path": path, "headers": headers}
    await Guard(inner, host="127.0.0.1", is_open=False)(scope, receive, send)
    return bool(passed), sent[0]["status"]
