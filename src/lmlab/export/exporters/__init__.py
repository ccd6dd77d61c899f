"""Exporters by name: each module here is a part that writes one form of a model and reads it back.

Parts import the software that they export for inside their methods only.
"""

from lmlab.registry import Registry

EXPORTERS = Registry("exporter", __name__)
