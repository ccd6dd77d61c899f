"""The torch modules that the parts of lmlab.models build."""
