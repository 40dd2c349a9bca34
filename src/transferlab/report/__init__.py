"""The files of a run -> figures, text, one page."""
