"""Optimizers: which parameters each one moves. Both are torch's own."""

from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from lmlab.models.architectures.language_model import LanguageModel
from lmlab.training.settings import AdamwSettings, MuonSettings, TrainingSettings


def build_optimizers(model: LanguageModel, settings: TrainingSettings) -> list[Optimizer]:
    """Optimizers that together move each parameter once; each group remembers its full rate as `initial_lr`."""
    embeddings = {id(parameter) for parameter in model.embedding_parameters()}
    matrices = [weight for weight in model.parameters() if weight.ndim == 2 and id(weight) not in embeddings]
    chosen = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in chosen]
    if isinstance(settings.optimizer, MuonSettings):
        optimizers = _muon_and_adamw(matrices, others, settings.optimizer, learning_rate=settings.learning_rate)
    else:
        optimizers = _adamw(matrices, others, settings.optimizer, learning_rate=settings.learning_rate)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def set_learning_rates(optimizers: list[Optimizer], share: float) -> None:
    """Let every group take this share of its full learning rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * share


def _adamw(
    matrices: list[nn.Parameter], others: list[nn.Parameter], settings: AdamwSettings, *, learning_rate: float
) -> list[Optimizer]:
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [AdamW(groups, lr=learning_rate, betas=(settings.beta1, settings.beta2), fused=True)]


def _muon_and_adamw(
    matrices: list[nn.Parameter], others: list[nn.Parameter], settings: MuonSettings, *, learning_rate: float
) -> list[Optimizer]:
    muon = Muon(
        matrices,
        lr=learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        # Steps as large as AdamW's, so that one learning rate means about the same for both.
        adjust_lr_fn="match_rms_adamw",
    )
    adamw = AdamW(
        others,
        lr=learning_rate * settings.adamw_learning_rate_ratio,
        betas=(settings.beta1, settings.beta2),
        weight_decay=0.0,
        fused=True,
    )
    return [muon, adamw]
