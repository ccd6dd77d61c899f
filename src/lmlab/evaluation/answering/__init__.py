"""Trivial baselines that answer with text. A module here is one: it registers a function that builds its `Answerer`.

A task's YAML lists their names under `baselines`. What they share lies outside this folder.
"""

from lmlab.registry import Registry

ANSWERERS = Registry("baseline", __name__)
