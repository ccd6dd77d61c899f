"""lmlab: raw text to language models that other software loads, every number reproducible.

Imports go down only: training, evaluation, export and reporting (never each other) over bundle,
decoding and tracking, over data and models (never each other), over the modules of this folder.
"""
