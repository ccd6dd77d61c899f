"""How fast a training is: tokens a second, and the share of what the machine's matrix products could do."""

import math
import time

import torch

from lmlab.run import Run

_ROUNDS = 5


class Speed:
    """Hands each point of the curves to the run, with the speed since the point before."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._seen: tuple[float, float] | None = None
        self.peak_tokens_per_second = math.nan
        """Of a machine that does nothing but the model's products, at the rate of large ones."""

    def __call__(self, values: dict[str, float], step: int) -> None:
        """Take the point of an optimizer step."""
        now = time.monotonic()
        if self._seen is None:
            shown = values
        elif values["tokens"] == self._seen[1]:
            # A validation at a step that was logged already: a second point there would bend the axis of tokens.
            shown = {name: value for name, value in values.items() if name != "tokens"}
        else:
            speed = (values["tokens"] - self._seen[1]) / (now - self._seen[0])
            shown = {**values, "tokens_per_second": speed, "share_of_peak": speed / self.peak_tokens_per_second}
        self._seen = (now, values["tokens"])
        self._run.log_metrics(shown, step=step)


def peak_operations_per_second(device: torch.device, precision: torch.dtype) -> float:
    """Floating-point operations a second of large matrix products, the best of a few; takes part of a second."""
    size = 8192 if device.type == "cuda" else 1024
    # A GPU multiplies ones faster than numbers of which no two bits agree: they take less power.
    chance = torch.Generator(device).manual_seed(0)
    left, right = (torch.randn(size, size, device=device, dtype=precision, generator=chance) for _ in range(2))
    seconds = []
    for _ in range(_ROUNDS):
        _wait(device)
        began = time.perf_counter()
        torch.mm(left, right)
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
