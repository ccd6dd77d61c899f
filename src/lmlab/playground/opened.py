"""Models that are open: each is loaded once, and the last few are kept."""

import json
from collections import OrderedDict
from collections.abc import Callable
from math import prod
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lmlab.applying.applier import Applier
    from lmlab.applying.opening import Engine

MOST_KEPT = 4


class _Key(NamedTuple):
    """What tells a loaded model from others: a folder that was written anew has another inode or time."""

    folder: Path
    inode: int
    written: int
    engine: "Engine"


class OpenModels:
    """Appliers by address."""

    def __init__(self, folder_of: Callable[[str], Path]) -> None:
        self.folder_of = folder_of
        self._kept: OrderedDict[_Key, Applier] = OrderedDict()
        self._lock = Lock()

    def open(self, address: str, *, engine: "Engine" = "auto") -> "Applier":
        """The model of this address, run by this engine.

        Raises: InputError if there is none that can be loaded.
        """
        with self._lock:
            folder = self.folder_of(address)
            key = _key(folder, engine)
            if key not in self._kept:
                from lmlab.applying.opening import open_applier

                self._kept[key] = open_applier(folder, engine=engine)
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]


def _key(folder: Path, engine: "Engine") -> _Key:
    try:
        stat = folder.stat()
    except OSError:
        # Opening it says what is wrong.
        return _Key(folder, 0, 0, engine)
    return _Key(folder, stat.st_ino, stat.st_mtime_ns, engine)


class Facts(NamedTuple):
    """What a bundle's files say of its model."""

    kind: str
    parameters: int


def facts_of(folder: Path) -> Facts | None:
    """The facts of the bundle that the folder is or holds; None if it holds another kind of model."""
    from safetensors import SafetensorError, safe_open

    for bundle in (folder, folder / "bundle"):
        try:
            kind = json.loads((bundle / "config.json").read_text(encoding="utf-8"))["model"]["name"]
            with safe_open(bundle / "model.safetensors", framework="numpy") as weights:
                shapes = [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118
        except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError):
            continue
        return Facts(str(kind), sum(map(prod, shapes)))
    return None
