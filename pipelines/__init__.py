"""The commands: each file is one command of the project, a thin door to src/lmlab."""
