"""How many inputs a door gets: a few with the whole suite; LMLAB_FUZZ=long (`make fuzz`) ten thousand, or a number."""

import os

from hypothesis import HealthCheck, settings

CHOSEN = os.environ.get("LMLAB_FUZZ", "suite")
LONG_INPUTS = 10_000 if CHOSEN in ("suite", "long") else int(CHOSEN)

settings.register_profile(
    "suite",
    deadline=None,
    # The same inputs each time: what the suite says must not hang on luck.
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile(
    "long", deadline=None, max_examples=LONG_INPUTS, suppress_health_check=list(HealthCheck), print_blob=True
)


def fuzz(suite: int, *, parts: int = 1) -> settings:
    """Settings for a test of a door: so many inputs with the suite, its part of the door's with the long profile."""
    if CHOSEN == "suite":
        return settings(settings.get_profile("suite"), max_examples=suite)
    return settings(settings.get_profile("long"), max_examples=max(1, LONG_INPUTS // parts))
