"""What a run is and how it is described: parameters, tags, a sentence for people. Nothing here needs MLflow."""

import getpass
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from lmlab.files import file_digest
from lmlab.text import digest_of

FINGERPRINT_TAG = "lmlab.fingerprint"
SOURCE_TAG = "lmlab.source_digest"
CODE_TAG = "lmlab.code_digest"
PARENT_TAG = "mlflow.parentRunId"
MAX_NAME_LENGTH = 250  # that of a database's column
MAX_PARAM_LENGTH = 6000  # MLflow's limit; it cuts off what is longer without a word
_PLAIN_KEY = re.compile(r"[\w-]+")
_LIBRARIES = ("lmlab", "torch", "pytorch-lightning", "tokenizers", "datasets", "numpy", "mlflow", "dvc")


class RunIdentity(NamedTuple):
    """What makes a run that run: composed settings, digests of source and code, and its sweep's run id if any."""

    fingerprint: str
    name: str
    settings: Mapping[str, object]
    source: str
    code: str
    parent: str | None


def flat_params(settings: Mapping[str, object]) -> dict[str, str]:
    """Every setting under its dotted key, whole; a value beyond MLflow's limit is named by its digest instead."""
    return {key: _bounded(value) for key, value in _leaves(settings, "")}


def _leaves(value: object, path: str) -> Iterator[tuple[str, str]]:
    # A key that is no plain word (a column of the user's) stays inside its section's JSON.
    if isinstance(value, Mapping) and value and all(_PLAIN_KEY.fullmatch(str(key)) for key in value):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _bounded(value: str) -> str:
    if len(value) <= MAX_PARAM_LENGTH:
        return value
    return f"sha256:{digest_of(value)} ({len(value)} characters, whole in the artifact settings.yaml)"


def settings_yaml(settings: Mapping[str, object]) -> str:
    """The composed settings as YAML."""
    import yaml

    return yaml.safe_dump(json.loads(json.dumps(settings)), sort_keys=False, allow_unicode=True, width=120)


def identity_tags(identity: RunIdentity, project: Path) -> dict[str, str]:
    """Tags that say what the run is and from which version of the project it comes."""
    tags = {
        FINGERPRINT_TAG: identity.fingerprint,
        SOURCE_TAG: identity.source,
        CODE_TAG: identity.code,
        "lmlab.seed": str(identity.settings.get("seed", "")),
        "mlflow.note.content": description(identity),
        "mlflow.source.name": "lmlab",
        "mlflow.source.type": "LOCAL",
        **({PARENT_TAG: identity.parent} if identity.parent else {}),
        **git_tags(project),
    }
    lock = project / "dvc.lock"
    if lock.is_file():
        tags["lmlab.dvc_lock"] = file_digest(lock)
    with suppress(OSError, KeyError):  # a container's user may have no name
        tags["mlflow.user"] = getpass.getuser()
    return tags


def description(identity: RunIdentity) -> str:
    """What the run is, for the run's page."""
    parts = [
        f"{section} {value['name']}"
        for section, value in identity.settings.items()
        if isinstance(value, Mapping) and "name" in value
    ]
    return f"**{identity.name}**: {', '.join(parts)}\n\nAll settings are in the artifact settings.yaml."


def git_tags(project: Path) -> dict[str, str]:
    """The commit checked out in the project and whether tracked files differ from it; empty outside git."""
    commit = _git(project, "rev-parse", "HEAD")
    changes = _git(project, "status", "--porcelain", "--untracked-files=no")
    if not commit or changes is None:
        return {}
    return {"mlflow.source.git.commit": commit, "lmlab.git_dirty": "true" if changes else "false"}


def commit_of(project: Path) -> str | None:
    """The commit checked out in the project, with `-dirty` behind it if tracked files differ; None outside git."""
    tags = git_tags(project)
    dirty = "-dirty" if tags.get("lmlab.git_dirty") == "true" else ""
    return tags["mlflow.source.git.commit"] + dirty if tags else None


def _git(project: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", project, *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def machine_tags() -> dict[str, str]:
    """The machine and the libraries that a live run works with."""
    import psutil

    memory = psutil.virtual_memory().total / 2**30
    return {
        "lmlab.machine": f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB memory",
        "lmlab.platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "lmlab.versions": ", ".join([f"python {platform.python_version()}", *_versions()]),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _versions() -> Iterator[str]:
    for library in _LIBRARIES:
        try:
            yield f"{library} {version(library)}"
        except PackageNotFoundError:
            continue
