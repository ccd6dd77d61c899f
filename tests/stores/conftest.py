"""A tracking server that keeps its runs in PostgreSQL."""

from collections.abc import Iterator

import pytest

from tests.stores.postgres import postgres_database
from tests.tracking.servers import free_port, mlflow_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with a database and a folder of artifacts of its own."""
    folder = tmp_path_factory.mktemp("server")
    serve = ["server", "--artifacts-destination", str(folder / "artifacts"), "--workers", "2"]
    with postgres_database() as database:
        serve += ["--backend-store-uri", database]
        with mlflow_server(*serve, port=free_port(), ready="/health", folder=folder) as address:
            yield address
