"""A real PostgreSQL server of a test's own, in a temporary folder, reached by the socket in it and by nothing else."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROLE = "lmlab"
# Debian keeps the server's own programs off the path; the newest comes first.
PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
# What a test's database holds may be lost with the machine's power.
QUICK = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"


def server_program(name: str) -> str:
    """The path of a program of PostgreSQL's server; skips the test where it is not installed."""
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, PLACES)]))
    if found is None:
        pytest.skip(f"PostgreSQL's {name} is not installed: apt-get install postgresql")
    return found


@contextmanager
def postgres_database() -> Iterator[str]:
    """The address of an empty database, which goes with its server after the block."""
    initdb, pg_ctl = server_program("initdb"), server_program("pg_ctl")
    # pytest's own folders are closed to other users, and PostgreSQL does not run as root.
    with tempfile.TemporaryDirectory(prefix="lmlab-postgres-") as scratch:
        user = _unprivileged()
        if user:
            shutil.chown(scratch, user["user"], user["group"])

        def call(*command: str) -> None:
            subprocess.run(command, cwd=scratch, check=True, stdout=subprocess.DEVNULL, timeout=60, **user)

        data = f"{scratch}/data"
        call(initdb, "-D", data, "-U", ROLE, "-A", "trust", "-E", "UTF8", "--no-sync")
        call(
            pg_ctl,
            "-D",
            data,
            "-w",
            "-l",
            f"{scratch}/log",
            "-o",
            f"-k {scratch} -c listen_addresses= {QUICK}",
            "start",
        )
        try:
            yield f"postgresql://{ROLE}@/postgres?host={scratch}"
        finally:
            call(pg_ctl, "-D", data, "-w", "-m", "immediate", "stop")


def _unprivileged() -> dict[str, Any]:
    """How a process is started by a user without privileges, where this one has them all."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = known.get("postgres") or known["nobody"]
    return {"user": user.pw_name, "group": user.pw_gid, "extra_groups": []}
