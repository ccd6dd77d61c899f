"""Files as text and rows, streamed: no reader holds a file in memory.

`find` turns a path, folder or glob into named files, `decoding` decompresses and decodes one, `plain` cuts
plain text into documents and pieces, `rows` reads formats with columns. Lines end at line feeds alone.
"""
