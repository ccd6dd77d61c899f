"""What stands before the page: other sites, other names of this machine and other parts of gradio get nothing."""

import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
PAGES = ("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json")
FOLDERS = ("/assets/", "/static/", "/gradio_api/queue/", "/gradio_api/heartbeat/")
CALLS = ("/gradio_api/run/predict", "/gradio_api/cancel", "/gradio_api/reset")
"""All that the page asks for: no uploads, files, descriptions of an interface or monitoring."""
HEADERS = {
    # Whatever a library's page would fetch from elsewhere, the browser does not.
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Guard:
    """Lets through what the page itself asks for."""

    def __init__(self, app: "ASGIApp", *, host: str, is_open: bool) -> None:
        self._app, self._is_open = app, is_open
        named = host if ":" not in host else f"[{host}]"
        self._names = {name.lower() for name in (named, *LOOPBACK, *([socket.gethostname()] if is_open else []))}

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: "Message") -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: "Scope") -> PlainTextResponse | None:
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        if not self._is_ours(host):
            # A site whose name suddenly means 127.0.0.1 comes with its own name here.
            return PlainTextResponse(f"this page is not at {host}\n", 421)
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return PlainTextResponse("another site cannot use this page\n", 403)
        if path in PAGES or path in CALLS or path.startswith(FOLDERS):
            return None
        return PlainTextResponse("there is nothing here\n", 404)

    def _is_ours(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        return name.lower() in self._names or (self._is_open and _is_number(name))


def _is_number(name: str) -> bool:
    """Whether it is an IP address, which no other site can have as its name."""
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
