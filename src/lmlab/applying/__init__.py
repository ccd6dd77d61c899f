"""Applying: a trained model answers texts, as its task decodes them, by the fastest engine that there is.

May import: bundle, decoding, engines, data, models and the modules of lmlab's own folder.
"""
