"""Who may ask the Hugging Face hub: nobody by default, what the user names of it where the user did not forbid it.

The library reads HF_HUB_OFFLINE once, when it is imported, so that a stage that sets it later changes nothing.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

OFFLINE = "HF_HUB_OFFLINE"
# Inherited by child processes with the variable above: there it still tells our default from the user's word.
BY_DEFAULT = "LMLAB_HUB_OFFLINE_BY_DEFAULT"


def stay_offline_by_default() -> None:
    """Keep every library off the hub unless the user has set HF_HUB_OFFLINE; call it before they are imported."""
    if OFFLINE not in os.environ:
        os.environ[OFFLINE] = "1"
        os.environ[BY_DEFAULT] = "1"


def hub_is_allowed() -> bool:
    """Whether the user leaves what is named of the hub free to be asked for there."""
    import huggingface_hub.constants

    return BY_DEFAULT in os.environ or not huggingface_hub.constants.is_offline_mode()


@contextmanager
def hub_reachable(reachable: bool) -> Iterator[None]:
    """The block with or without the hub, whatever the libraries read when they were imported.

    A library of these that is imported inside the block keeps what it finds there: import it before.
    """
    import huggingface_hub.constants  # noqa: F401

    # Both are asked before each request; datasets, which takes a second to import, only where it is there already.
    libraries: list[Any] = [
        sys.modules[name] for name in ("huggingface_hub.constants", "datasets.config") if name in sys.modules
    ]
    before = [library.HF_HUB_OFFLINE for library in libraries]
    for library in libraries:
        library.HF_HUB_OFFLINE = not reachable
    try:
        yield
    finally:
        for library, value in zip(libraries, before, strict=True):
            library.HF_HUB_OFFLINE = value
