"""Decoding: from a model's logits to text, over the one state seam of all models.

The door is `answer_prompts`, which does what a task's settings say: `generate` writes token by token, `beam_search`
keeps several hypotheses side by side, `rank_choices` weighs given answers. None of them asks a model what it is.
May import: data, models and the modules of lmlab's own folder.
"""
