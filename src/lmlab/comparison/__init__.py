"""Runs side by side: a table, plots and a test of the best two, for runs whose numbers may be compared.

Stands above the stages: may import evaluation, reporting and everything below them; nothing but pipelines imports it.
"""
