"""Decoding: from a model's logits to text, over the one state seam of all models.

`generate` continues prompts. May import: data, models and the modules of lmlab's own folder.
"""
