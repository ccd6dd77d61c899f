"""The playground: a page in the browser on which trained models are asked, one or two side by side.

The only door to gradio. May import: applying, bundle, data, tracking and the modules of lmlab's own folder.
"""
