"""Training by Lightning: the stage `train`, its optimizers, schedule and resume checkpoints.

Laws: batch number s is a pure function of the seed and s; a training that was killed and started again ends
with the bytes of one that was not. The only door to pytorch_lightning. May import: bundle, data, models and
the modules of lmlab's own folder.
"""
