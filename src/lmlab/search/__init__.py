"""Search for settings by Optuna, the only door to it: a study that is kept, so that a killed search goes on.

Knows settings by their override keys and jobs by their Outcome; neither Hydra nor training. May import the modules of
lmlab's own folder. Law: what a search asks next depends on its seed and on its trials so far, on nothing else.
"""
