"""The server of the page: on this machine alone, for its own page alone."""

import logging
import os
import socket
from contextlib import suppress
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING

from lmlab.errors import InputError
from lmlab.playground.opened import OpenModels

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from lmlab.playground.catalog import Catalog

_LOGGER = logging.getLogger("lmlab")
HIGHEST_PORT = 65535
LAST_SECONDS = 0
"""How long open pages, which hold a connection all the time, may keep the server from ending."""
# Read when the libraries are imported.
_NO_REPORTS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Of the last 10,000 questions gradio would add up the times after each one, for a page that is not served.
    "GRADIO_ANALYTICS_MAX_EVENTS": "100",
}


def serve_page(catalog: "Catalog", project: Path, *, host: str, port: int) -> None:
    """Serve the page of these models until interrupted.

    Raises: InputError if gradio is not installed, or the address cannot be had.
    """
    if find_spec("gradio") is None:
        raise InputError("the playground needs gradio: pip install 'lmlab[play]'")
    models = OpenModels(catalog.folder_of)
    with _listen(host, port) as listener, TemporaryDirectory() as scratch:
        os.environ.update({**_NO_REPORTS, "GRADIO_TEMP_DIR": scratch})
        app = _app(catalog, models, project, host=host)
        address = _url(host, listener.getsockname()[1])
        if not is_loopback(host):
            _LOGGER.warning("warning: whoever reaches this machine at %s can use the page", address)
        with suppress(KeyboardInterrupt):
            print(f"The playground is at {address} (Ctrl-C ends it)", flush=True)
            # While the browser opens.
            Thread(target=_open_first, args=(catalog, models), daemon=True).start()
            _run(app, listener)
    print("the playground has ended")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= HIGHEST_PORT:
        raise InputError(f"--port: must be from 0 to {HIGHEST_PORT}, found {port}")
    try:
        [family, *_], *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return socket.create_server((host, port), family=family)
    except socket.gaierror as error:
        raise InputError(f"--host {host}: is no address of this machine ({error.strerror})") from None
    except OSError as error:
        raise InputError(f"{host}:{port} cannot be had ({error.strerror}): choose another --port or --host") from None


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _app(catalog: "Catalog", models: OpenModels, project: Path, *, host: str) -> "ASGIApp":
    import gradio as gr
    from fastapi import FastAPI

    from lmlab.playground.guard import Guard
    from lmlab.playground.layout import page_theme
    from lmlab.playground.page import build_page
    from lmlab.playground.style import CSS

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    gr.mount_gradio_app(
        app,
        build_page(catalog, models, project),
        path="/",
        footer_links=[],
        run_history=False,
        show_error=True,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=page_theme(),
        css=CSS,
    )
    return Guard(app, host=host, is_open=not is_loopback(host))


def _open_first(catalog: "Catalog", models: OpenModels) -> None:
    # What is wrong with it, the page says when it is asked for.
    with suppress(Exception):
        models.open([*(catalog.first or catalog.stored())][0].address)


def _run(app: "ASGIApp", listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        app, log_level="critical", server_header=False, timeout_graceful_shutdown=LAST_SECONDS, ws="none"
    )
    uvicorn.Server(config).run(sockets=[listener])
