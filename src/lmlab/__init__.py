"""lmlab: raw text to language models that other software loads, every number reproducible.

Imports go down only: comparison, reported and playground, which tell of many runs or models (never each other), over
training, evaluation, export and reporting (never each other), over bundle, decoding, engines, applying, tracking and
search, over data and models (never each other), over the modules of this folder.
"""
