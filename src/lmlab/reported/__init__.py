"""The results that the project reports: a file for each, written by a command and checked by another.

Stands above the stages: may import evaluation and everything below it; nothing but pipelines imports it.
"""
