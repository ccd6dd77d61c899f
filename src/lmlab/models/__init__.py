"""Language models by name: each module here is a part; what they share stands in `architectures`.

The seam is `LanguageModel`: `forward(tokens, state) -> (logits, state)`. Parts import torch only when they
build, so that settings are validated without it. May import: the modules of lmlab's own folder.
"""

from lmlab.registry import Registry

MODELS = Registry("model", __name__)
