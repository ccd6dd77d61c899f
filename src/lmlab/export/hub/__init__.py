"""What the hub's form of a model is made of: names, settings, and code where transformers has no class for the model.

`modeling_lmlab` is copied into exported folders as it stands, so it imports torch and transformers alone. May import:
data, models and the modules of lmlab's own folder.
"""
