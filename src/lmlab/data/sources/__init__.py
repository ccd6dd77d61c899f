"""Sources of records. A part is `sources/NAME.py` with conf/source/NAME.yaml: settings and `build(settings) -> Source`.

It may import the modules of lmlab.data and below; whatever several sources share lies outside this folder.
"""

from lmlab.registry import Registry

SOURCES = Registry("source", __name__)
