import asyncio
from typing import Any

import pytest

from lmlab.playground.guard import Guard


async def _page(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the page"})


def ask(guard: Guard, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(guard({"type": "http", "method": "GET", "path": path, "headers": raw}, receive, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.fixture
def guard() -> Guard:
    return Guard(_page, host="127.0.0.1", is_open=False)


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:8000", "[::1]:7860", "LOCALHOST"])
def test_the_page_is_there_under_this_machines_names(guard: Guard, host: str) -> None:
    status, headers = ask(guard, "/", host=host)
    assert status == 200
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "10.0.0.7", "10.evil.example", ""]
)
def test_another_name_gets_nothing(guard: Guard, host: str) -> None:
    assert ask(guard, "/", host=host)[0] == 421


def test_another_site_cannot_call() -> None:
    guard = Guard(_page, host="127.0.0.1", is_open=False)
    path = "/gradio_api/queue/join"
    assert ask(guard, path, host="127.0.0.1:7860", origin="http://127.0.0.1:7860")[0] == 200
    assert ask(guard, path, host="127.0.0.1:7860", origin="http://evil.example")[0] == 403
    assert ask(guard, path, host="127.0.0.1:7860", origin="http://127.0.0.1:9999")[0] == 403
    assert ask(guard, path, host="127.0.0.1:7860", origin="null")[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        *("/gradio_api/info", "/gradio_api/openapi.json", "/docs", "/openapi.json", "/monitoring"),
        *("/gradio_api/upload", "/gradio_api/file=/etc/passwd", "/gradio_api/call/ask", "/gradio_api/proxy=x"),
    ],
)
def test_other_parts_of_gradio_are_not_there(guard: Guard, path: str) -> None:
    assert ask(guard, path, host="127.0.0.1")[0] == 404


def test_an_open_page_is_there_under_its_name_and_numbers_alone() -> None:
    guard = Guard(_page, host="0.0.0.0", is_open=True)
    assert ask(guard, "/", host="10.0.0.7:7860")[0] == 200
    assert ask(guard, "/", host="[fe80::1]:7860")[0] == 200
    assert ask(guard, "/", host="evil.example:7860")[0] == 421
    assert ask(guard, "/", host="10.evil.example:7860")[0] == 421
