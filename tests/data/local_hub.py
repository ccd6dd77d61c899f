"""A hub on this machine that serves folders as repositories, as far as the libraries ask for them."""

import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Self
from urllib.parse import parse_qs, urlsplit

COMMIT = "c0ffee" + "0" * 34


class LocalHub:
    """Serves while the block runs."""

    def __init__(self, folders: dict[str, Path]) -> None:
        handler = type("Handler", (_Handler,), {"folders": folders})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    folders: dict[str, Path]

    def do_GET(self) -> None:  # noqa: N802
        path = urlsplit(self.path)
        words = path.path.strip("/").split("/")
        if words[:2] == ["api", "datasets"] and len(words) == 2:
            wanted = parse_qs(path.query)["search"][0]
            self._json([{"id": name} for name in self.folders if wanted[:2] in name])
            return
        is_api = words[0] == "api"
        name = "/".join(words[2:4] if is_api else words[1:3])
        rest = words[4:] if is_api else words[3:]
        if name not in self.folders:
            self._refuse("RepoNotFound")
        elif is_api and rest[:1] == ["tree"]:
            self._json([self._entry(name, file) for file in self._tree(name, "/".join(rest[2:]), path.query)])
        elif is_api:
            files = [{"rfilename": file} for file in self._tree(name, "", "recursive=true")]
            self._json({"id": name, "sha": COMMIT, "siblings": files, "tags": [], "private": False})
        else:
            self._file(self.folders[name] / "/".join(rest[2:]))

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        words = urlsplit(self.path).path.strip("/").split("/")
        name = "/".join(words[2:4])
        try:
            paths = json.loads(body)["paths"]
        except ValueError:
            paths = parse_qs(body).get("paths", [])
        found = [path for path in paths if (self.folders[name] / path).exists()]
        self._json([self._entry(name, path) for path in found])

    def _tree(self, name: str, below: str, query: str) -> list[str]:
        is_recursive = parse_qs(query).get("recursive", ["false"])[0].lower() in ("true", "1")
        found = (self.folders[name] / below).glob("**/*" if is_recursive else "*")
        return [path.relative_to(self.folders[name]).as_posix() for path in sorted(found)]

    def _entry(self, name: str, file: str) -> dict:
        path = self.folders[name] / file
        if path.is_dir():
            return {"type": "directory", "path": file, "oid": "0" * 40}
        return {"type": "file", "path": file, "oid": _digest(path), "size": path.stat().st_size}

    def _file(self, path: Path) -> None:
        if path.is_file():
            self._send(path.read_bytes(), {"ETag": f'"{_digest(path)}"', "X-Repo-Commit": COMMIT})
        else:
            self._refuse("EntryNotFound")

    def _refuse(self, code: str) -> None:
        self._send(b"{}", {"X-Error-Code": code, "X-Repo-Commit": COMMIT}, status=404)

    def _json(self, value: object) -> None:
        self._send(json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, body: bytes, headers: dict[str, str], *, status: int = 200) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002, ARG002
        """Say nothing."""


def _digest(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()
