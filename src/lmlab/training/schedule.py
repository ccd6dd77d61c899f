"""The learning rate as a pure function of the step."""

from lmlab.training.settings import TrainingSettings


def learning_rate_share(step: int, settings: TrainingSettings) -> float:
    r"""What step `step`, counted from 0, takes of the learning rate: rises, stays at 1, falls linearly.

    1     ______________
         /              \
    0   /                \_  final_learning_rate_share
       warm-up        decay
    """
    total = settings.num_steps
    warmup = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    decay_steps = settings.decay_share * total
    left = min(1.0, (total - step) / decay_steps) if decay_steps else 1.0
    final = settings.final_learning_rate_share
    return warmup * (final + (1 - final) * left)
