"""Who may ask the Hugging Face hub: nobody by default, the source hub where the user did not forbid it.

The library reads HF_HUB_OFFLINE once, when it is imported, so that a stage that sets it later changes nothing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

OFFLINE = "HF_HUB_OFFLINE"
# Inherited by child processes with the variable above: there it still tells our default from the user's word.
BY_DEFAULT = "LMLAB_HUB_OFFLINE_BY_DEFAULT"


def stay_offline_by_default() -> None:
    """Keep every library off the hub unless the user has set HF_HUB_OFFLINE; call it before they are imported."""
    if OFFLINE not in os.environ:
        os.environ[OFFLINE] = "1"
        os.environ[BY_DEFAULT] = "1"


def hub_is_allowed() -> bool:
    """Whether the user leaves the source hub free to ask the hub."""
    import huggingface_hub.constants

    return BY_DEFAULT in os.environ or not huggingface_hub.constants.is_offline_mode()


@contextmanager
def hub_reachable(reachable: bool) -> Iterator[None]:
    """The block with or without the hub, whatever the libraries read when they were imported."""
    import datasets.config
    import huggingface_hub.constants

    # Both modules are asked before each request.
    before = huggingface_hub.constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    huggingface_hub.constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = not reachable
    try:
        yield
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before
