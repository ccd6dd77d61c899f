"""The named rules that clean records, each with its own switch and counts; `lmlab.data.clean` runs them.

    rewriting   encoding_repair > unicode > control_characters > markup > whitespace    change one text
    dropping    length > line_noise                                                     judge one record
    comparing   exact_duplicates > near_duplicates > leakage                            judge a record by earlier ones

All are pure functions of texts; modules here import the modules of lmlab.data and below.
"""
