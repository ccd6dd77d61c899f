"""Raw text to tokens: sources, cleaning, tokenizers and the token store.

Records flow one way: a source yields them, clean writes them as parquet, encode writes them as tokens.
A source is a part in `sources`, a tokenizer a part in `tokenizer`. Modules here import each other and the
modules of the folder above, never models, training or anything higher.
"""
