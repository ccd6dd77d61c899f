"""Evaluation: what a bundle is worth on the test split, beside trivial baselines, with intervals.

Scores are nats of single tokens; a metric is a ratio of sums over records, so one bootstrap serves all.
A metric is a module of `lmlab.evaluation.metrics`. May import bundle, decoding, data, models and what is
below them; never training, export or reporting.
"""
