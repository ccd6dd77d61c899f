"""Engines: other software that runs a model of ours, behind the same seam.

On a CPU, onnxruntime decodes these small models several times as fast as torch, which spends most of a step on
starting its operators. The only door to onnx; the exporters of onnx files use onnxruntime too. May import: models,
data and the modules of lmlab's own folder.
"""
