"""Applying: a trained model answers texts, as its task decodes them, by the fastest engine that there is.

May import: bundle, decoding, engines, data, models and the modules of lmlab's own folder.
"""

ADDRESSES = ("models:/", "runs:/")
"""What the address of a model in the tracking store begins with; anything else names a folder."""
