"""Many texts at once to the tokens that the library tokenizers gives, many times as fast, over NumPy arrays.

    byte-level kinds    texts > pieces that the library would cut too > a table of pieces seen before > tokens
    characters          texts > code points > a table of all code points > tokens

Other kinds, and what the tables lack, go through the library itself. Imports nothing else of lmlab.
"""
