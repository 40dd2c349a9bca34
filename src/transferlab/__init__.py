"""transferlab: which transfer-learning strategy should I use on my images, and how sure can I
be?
"""


def __getattr__(name: str) -> object:
    """`transferlab.Predictor`, and torch with it, only for whoever asks."""
    if name == "Predictor":
        from .delivery.predictor import Predictor

        return Predictor
    raise AttributeError(f"module 'transferlab' has no attribute {name!r}")
