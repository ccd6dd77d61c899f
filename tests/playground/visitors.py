"""Visitors of the page without a browser, who ask as the page itself does: over gradio's queue."""

import html
import http.client
import json
import re
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from tests.crowds import RefusedError

SECONDS = 60
ENDS = ("process_completed", "unexpected_error")
WRITTEN = re.compile(r'<span class="lm-written">(.*?)</span>', re.DOTALL)
EMPTY = "its answer is empty"
ERROR = re.compile(r'class="lm-error"[^>]*>(.*?)</', re.DOTALL)


class Visitor:
    """An open page, whose model is the one that the page opens with."""

    def __init__(self, address: str) -> None:
        self._host = urlsplit(address).netloc
        self._session = uuid.uuid4().hex
        config = json.loads(self._request("GET", "/config"))
        self._parts = {part["id"]: part["props"] for part in config["components"]}
        self._numbers = {props["elem_id"]: number for number, props in self._parts.items() if props.get("elem_id")}
        self._events = config["dependencies"]

    def arrive(self) -> str:
        """What the page says of its model once it is opened."""
        choosing = self._event("about-0", trigger="load", part=None)
        asked = {**self._asked(choosing, {}), "trigger_id": None}
        found = json.loads(self._request("POST", "/gradio_api/run/predict", asked))
        return found["data"][choosing["outputs"].index(self._numbers["about-0"])]

    def ask(self, text: str, **settings: float) -> str:
        """What the first model has written in the end.

        Raises: RefusedError if the page took no question, or said what was wrong with it.
        """
        asking = self._event("panel-0", trigger="click", part="ask")
        self._request("POST", "/gradio_api/queue/join", self._asked(asking, {**settings, "field-0": text}))
        [end] = [message for message in self._messages() if message["msg"] in ENDS]
        if not end.get("success"):
            raise RefusedError(str(end.get("output") or end))
        shown = end["output"]["data"][asking["outputs"].index(self._numbers["panel-0"])]
        if EMPTY in shown:
            return ""
        written = WRITTEN.search(shown)
        if (error := ERROR.search(shown)) or written is None:
            raise RefusedError(html.unescape(error.group(1)) if error else f"there is no answer in {shown!r}")
        return html.unescape(written.group(1))

    def _event(self, output: str, *, trigger: str, part: str | None) -> dict[str, Any]:
        """The event that changes this part of the page when that one is clicked, or when the page is opened."""
        number = self._numbers.get(part or "")
        [found] = [
            event
            for event in self._events
            if self._numbers[output] in event["outputs"]
            and any(how == trigger and number in (None, which) for which, how in event["targets"])
        ]
        return found

    def _asked(self, event: dict[str, Any], given: dict[str, float | str]) -> dict[str, Any]:
        values = {self._numbers[name]: value for name, value in given.items()}
        data = [values.get(number, self._parts[number].get("value")) for number in event["inputs"]]
        return {"data": data, "fn_index": event["id"], "session_hash": self._session}

    def _messages(self) -> Iterator[dict[str, Any]]:
        """The page's stream of events, up to the end of one."""
        with closing(http.client.HTTPConnection(self._host, timeout=SECONDS)) as connection:
            connection.request("GET", f"/gradio_api/queue/data?session_hash={self._session}")
            for line in connection.getresponse():
                if line.startswith(b"data:"):
                    message = json.loads(line.removeprefix(b"data:"))
                    yield message
                    if message["msg"] in ENDS:
                        return

    def _request(self, method: str, path: str, content: dict[str, Any] | None = None) -> str:
        with closing(http.client.HTTPConnection(self._host, timeout=SECONDS)) as connection:
            body = None if content is None else json.dumps(content)
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read().decode()
            if answer.status != http.client.OK:
                raise RefusedError(f"{answer.status} {said}")
            return said
