"""Data sets laid out as on the Hugging Face hub, in a local folder or a repository: found, pinned, opened by split.

Data files alone are read, never code: datasets 5 runs no loading scripts, and the formats below hold none.
"""

import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from lmlab.errors import InputError
from lmlab.files import file_digest
from lmlab.hub_access import OFFLINE, hub_is_allowed, hub_reachable
from lmlab.text import digest_of, nearest

if TYPE_CHECKING:
    from datasets import Dataset, DatasetBuilder, IterableDataset

log = logging.getLogger("lmlab")

TEXT_FORMATS = ("parquet", "json", "csv", "text", "arrow")
# What load_dataset answers from, without a network, once a set was prepared.
CACHE = "cache"
PROBE_SECONDS = 10.0
NO_SCRIPT = "use its data files (parquet, jsonl, csv) in a folder of their own, or a set without a loading script"
WITHOUT_NETWORK = (
    "without a network there are your own files (source=files source.path=...) and the documentation of "
    "installed packages (source=package_docs)"
)


class HubSet(NamedTuple):
    """A data set of one revision."""

    name: str
    path: str
    """What load_dataset takes: a repository or an absolute folder."""
    config: str | None
    revision: str | None
    """The commit to load; None for a folder and for what the cache holds."""
    digest: str
    """The commit of a repository, or the digest of a folder's files."""
    place: Literal["folder", "hub", "cache"]
    """Where it is read from."""


def find_set(name: str, *, config: str | None, revision: str | None) -> HubSet:
    """The data set in the folder of that name, else in the repository.

    Raises: InputError if there is none, or neither hub nor cache can give it, or it brings code.
    """
    _quieten()
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _local(name, folder, config=config, revision=revision)
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name):
        raise InputError(f"source.dataset: {name} is no folder, and no repository: those are called owner/name")
    if hub_is_allowed():
        with hub_reachable(True):
            commit = _commit(name, revision)
        if commit:
            return HubSet(name, name, config, commit, commit, "hub")
        why = "the hub does not answer"
    else:
        why = f"{OFFLINE} is set"
    return _cached(name, config=config, revision=revision, why=why)


def open_splits(found: HubSet, *, streaming: bool) -> "Mapping[str, Dataset | IterableDataset]":
    """Every split of the set by its name. A folder is read in place; a repository that does not stream is stored.

    Raises: InputError if the config is not there, or the files cannot be read as text.
    """
    from datasets import DatasetDict, IterableDatasetDict, load_dataset

    with hub_reachable(found.place == "hub"), reading(found.name):
        _check_format(found)
        splits = load_dataset(
            found.path,
            name=found.config,
            revision=found.revision,
            # A stored copy of a folder would be told from a changed one by the time of its files alone.
            streaming=found.place == "folder" or (found.place == "hub" and streaming),
        )
    assert isinstance(splits, DatasetDict | IterableDatasetDict)
    return {str(split): rows for split, rows in splits.items()}


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what the libraries raise in the block into one line.

    Raises: InputError for any error: a broken file, a broken connection or a full disk have a hundred faces here.
    """
    try:
        yield
    except (InputError, AssertionError):
        raise
    except Exception as error:
        raise InputError(f"source.dataset: {name} cannot be read: {_first_cause(error)}") from None


def _first_cause(error: BaseException) -> str:
    # The outermost says only that a data set could not be generated.
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:300] or type(error).__name__


def _quieten() -> None:
    import datasets
    import huggingface_hub.utils

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
        huggingface_hub.utils.disable_progress_bars()
    # What goes wrong is said once, by us.
    datasets.logging.set_verbosity_error()
    huggingface_hub.utils.logging.set_verbosity_error()


def _local(name: str, folder: Path, *, config: str | None, revision: str | None) -> HubSet:
    if revision is not None:
        raise InputError(f"source.revision: {name} is a folder, which has no revisions; set it to null")
    code = sorted(path.name for path in folder.glob("*.py"))
    if code:
        raise InputError(f"source.dataset: {name} holds code ({code[0]}), and no data set runs code here; {NO_SCRIPT}")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = {path: path.relative_to(folder) for path in files}
    digests = [
        [names[path].as_posix(), file_digest(path)]
        for path in files
        if not any(part.startswith(".") for part in names[path].parts)
    ]
    if not digests:
        raise InputError(f"source.dataset: the folder {name} is empty; name one with data files")
    return HubSet(name, str(folder.resolve()), config, None, digest_of(digests), "folder")


def _commit(name: str, revision: str | None) -> str | None:
    """The commit that the revision names on the hub; None if the hub does not answer."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        info = HfApi().dataset_info(name, revision=revision, timeout=PROBE_SECONDS)
    except GatedRepoError:
        raise InputError(
            f"source.dataset: {name} is gated: ask for access at https://huggingface.co/datasets/{name}, "
            "then log in with `hf auth login`"
        ) from None
    except RevisionNotFoundError:
        raise InputError(
            f"source.revision: {name} has no revision '{revision}'; {_revisions(name, revision)}"
        ) from None
    except RepositoryNotFoundError:
        raise InputError(f"source.dataset: the hub has no public data set '{name}'; {_alike(name)}") from None
    except HfHubHTTPError as error:
        log.info("the hub answers with an error: %s", _first_cause(error))
        return None
    except Exception as error:
        # Not only the HTTP client's errors: a proxy or a resolver has its own.
        log.info("the hub does not answer: %s", _first_cause(error))
        return None
    script = f"{name.rpartition('/')[2]}.py"
    if script in {sibling.rfilename for sibling in info.siblings or ()}:
        raise InputError(f"source.dataset: {name} needs its loading script {script}, and no code is run; {NO_SCRIPT}")
    return info.sha


def _alike(name: str) -> str:
    from huggingface_hub import HfApi

    advice = "look for it at https://huggingface.co/datasets"
    try:
        found = [one.id for one in HfApi().list_datasets(search=name.rpartition("/")[2], limit=20)]
    except Exception:
        return advice
    return f"{nearest(name, found)}, or {advice}" if found else advice


def _revisions(name: str, revision: str | None) -> str:
    from huggingface_hub import HfApi

    try:
        refs = HfApi().list_repo_refs(name, repo_type="dataset")
    except Exception:
        return "give null for the newest"
    return nearest(str(revision), [ref.name for ref in [*refs.branches, *refs.tags]])


def _cached(name: str, *, config: str | None, revision: str | None, why: str) -> HubSet:
    """The set as an earlier run stored it."""
    from datasets import load_dataset_builder

    with hub_reachable(False):
        try:
            builder = load_dataset_builder(name, name=config)
        except Exception as error:
            if "in the cache" in str(error):
                raise InputError(f"source.config: {why}, and {_first_cause(error)}") from None
            raise InputError(
                f"source.dataset: '{name}' cannot be had: {why}, and this machine's cache does not hold it; "
                + WITHOUT_NETWORK
            ) from None
    commit = str(builder.hash)
    is_commit = revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision)
    if is_commit and commit != revision:
        raise InputError(
            f"source.revision: {why}, and this machine's cache holds {name} at {commit}, not at {revision}; "
            + WITHOUT_NETWORK
        )
    log.info("%s: reading %s at revision %s from this machine's cache", why, name, commit)
    if revision is not None and not is_commit:
        log.warning(
            "whether that is still source.revision=%s cannot be told; source.revision=%s is sure", revision, commit
        )
    return HubSet(name, name, builder.config.name, None, commit, "cache")


def _check_format(found: HubSet) -> None:
    """Raise InputError if the config is not there or the files are of no kind that holds text."""
    from datasets import get_dataset_config_names, load_dataset_builder

    try:
        builder = load_dataset_builder(found.path, name=found.config, revision=found.revision)
    except ValueError as error:
        if not re.search(r"BuilderConfig .* not found|Config name is missing", str(error)):
            raise
        names = get_dataset_config_names(found.path, revision=found.revision)
        if found.config is None:
            raise InputError(f"source.config: {found.name} has several, name one: {', '.join(names)}") from None
        raise InputError(
            f"source.config: {found.name} has no config '{found.config}'; {nearest(found.config, names)}"
        ) from None
    if found.place == "folder":
        _check_inside(found, builder)
    module = type(builder).__module__
    allowed = [f"datasets.packaged_modules.{kind}.{kind}" for kind in (*TEXT_FORMATS, CACHE)]
    if module not in allowed:
        raise InputError(
            f"source.dataset: the files of {found.name} are not text but of the kind '{module.rpartition('.')[2]}'; "
            f"allowed: {', '.join(TEXT_FORMATS)}"
        )


def _check_inside(found: HubSet, builder: "DatasetBuilder") -> None:
    """Raise InputError if the folder's README.md leads out of it: its digest would not tell what is read."""
    for files in (builder.config.data_files or {}).values():
        for file in files:
            if not os.path.normpath(file).startswith(found.path + os.sep):
                raise InputError(
                    f"source.dataset: {found.name} names a file outside the folder ({file}): copy it there"
                )
