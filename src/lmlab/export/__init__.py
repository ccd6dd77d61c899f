"""Export: the trained model in the forms that other software loads, each proven to give the same answers.

Each module of `exporters` is a part. May import: bundle, decoding, data, models and the modules of lmlab's
own folder.
"""
