"""The report: one self-contained page, and the same facts in Markdown, from what the stages wrote.

Reads reports and plots, never models or records. May import tracking and the modules of lmlab's own folder;
never training, evaluation or export.
"""
