"""What a machine does to a stage, told from our own mistakes: full memory, a helping process that was killed."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb

from lmlab.errors import InputError

LESS_MEMORY = {
    "clean": "lower runtime.threads (each process of cleaning holds batches of its own)",
    "encode": "give the source less text",
    "train": "lower training.batch_rows or training.sequence_length, or raise training.accumulate",
    "evaluate": (
        "lower evaluation.reading.batch_tokens, evaluation.answer_batch_rows or evaluation.baselines.training_megabytes"
    ),
    "export": "write fewer forms ('export.artifacts=[bundle]')",
    "report": "close other programs",
}
"""What makes each stage need less."""

# torch raises plain RuntimeErrors, and Rust libraries exceptions of their own.
_FULL_MEMORY = (
    "can't allocate memory",
    "Cannot allocate memory",
    "out of memory",
    f"(os error {errno.ENOMEM})",
    "failed to map segment from shared object",  # an import
)
_DEAD_LOADER = ("DataLoader worker (pid",)
_TAKING_OVER = "torch.multiprocessing.reductions"
"""The module of torch that puts tensors of other processes together."""


@contextmanager
def machine_faults_told(stage: str) -> Iterator[None]:
    """Whatever the machine does to the stage in the block, as an InputError that says what would help."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        # A process that dies has its signal raised anywhere, also while another error is on its way.
        causes = list(_causes(error))
        if any(_says(cause, _DEAD_LOADER) or _is_of_loader(cause) for cause in causes):
            raise InputError(
                f"stage {stage}: a process that loads batches was killed, perhaps because memory is full: "
                "run the same command again, with a lower runtime.workers if it is"
            ) from error
        if any(isinstance(cause, MemoryError) or _says(cause, _FULL_MEMORY) for cause in causes):
            raise InputError(
                f"stage {stage}: memory is full: {LESS_MEMORY[stage]}, then run the same command again"
            ) from error
        raise


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_of_loader(error: BaseException) -> bool:
    """Whether a batch could not be taken over from the process that loaded it, which is gone."""
    if not isinstance(error, OSError | EOFError):
        return False
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    return any(frame.f_globals.get("__name__") == _TAKING_OVER for frame in frames)


def _says(error: BaseException, parts: tuple[str, ...]) -> bool:
    return any(part in str(error) for part in parts)
