"""Which models there are to choose from: named ones, the project's export, and the store's registered models."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lmlab.applying import ADDRESSES
from lmlab.errors import InputError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

EXPORT = "models/export"
_SQLITE = "sqlite:///"


class Choice(NamedTuple):
    """A model that can be chosen."""

    name: str
    """What is shown."""
    address: str
    """A folder, or an address in the tracking store."""


class Catalog(NamedTuple):
    """The models that a page offers."""

    first: Sequence[Choice]
    """Those that are known without asking the store; the first is asked when the page opens."""
    compared: str | None
    """The address of the model that is asked beside it."""
    stored: Callable[[], list[Choice]]
    """Asks the store for the others; may raise InputError."""
    folder_of: Callable[[str], Path]
    """Where the model of an address lies; may raise InputError."""


def project_catalog(project: Path, named: Sequence[str]) -> Catalog:
    """What the user named, the export if it is there, and the registered models of the project's store.

    Raises: InputError for a name that is no model's, and if there is nothing to choose from.
    """

    def folder_of(address: str) -> Path:
        if not address.startswith(ADDRESSES):
            return project / address
        from lmlab.tracking.registry import model_folder

        return model_folder(project, address)

    for address in named:
        if not folder_of(address).is_dir():
            raise InputError(f"--model {address}: there is no such folder")
    folders = [*named, *([EXPORT] if (project / EXPORT).is_dir() else [])]
    first = [Choice(address.removeprefix("models:/"), address) for address in dict.fromkeys(folders)]
    if not first and not _has_store(project):
        raise InputError(
            f"there is no model yet: train one with `make repro`, which writes {EXPORT}, or name one with --model"
        )
    compared = first[1].address if len(set(named)) > 1 else None
    return Catalog(first, compared, lambda: _registered(project), folder_of)


def _has_store(project: Path) -> bool:
    """Whether there is a store to ask; asking would make one."""
    from lmlab.tracking.store import tracking_address

    address = tracking_address(project)
    return not address.startswith(_SQLITE) or Path(address.removeprefix(_SQLITE)).is_file()


def _registered(project: Path) -> list[Choice]:
    """The aliases and versions of every registered model, the newest version first."""
    from lmlab.tracking.store import TrackingError, first_line, open_store

    if not _has_store(project):
        return []
    store = open_store(project)
    try:
        aliases = {model.name: model.aliases for model in _pages(store.client.search_registered_models)}
        versions: dict[str, list[ModelVersion]] = defaultdict(list)
        for version in _pages(store.client.search_model_versions):
            versions[version.name].append(version)
    except Exception as error:  # a store fails in its server's, its database's and its file system's ways
        raise TrackingError(
            f"the registered models of {store.shown_address} cannot be read: {first_line(error)}"
        ) from error
    return [choice for name in sorted(versions) for choice in _choices(name, aliases.get(name, {}), versions[name])]


def _pages(search: Callable) -> Iterator:
    """What a search of MLflow finds, on all its pages."""
    token = None
    while True:
        page = search(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _choices(name: str, aliases: dict[str, str], versions: "Sequence[ModelVersion]") -> Iterator[Choice]:
    for alias, number in sorted(aliases.items()):
        yield Choice(f"{name}@{alias} (version {number})", f"models:/{name}@{alias}")
    for number in sorted((int(version.version) for version in versions), reverse=True):
        yield Choice(f"{name} version {number}", f"models:/{name}/{number}")
