"""A model behind a web address: what MLflow loads and asks, without a pickle."""

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .model import read
from .predictor import Answer, Predictor

IMAGE = "image"
"""The one column of a request."""


def _load_pyfunc(path: str) -> "Served":
    """MLflow's hook of a `loader_module`; `path` is the file that the stage champion wrote."""
    return Served(Predictor(read(Path(path))))


class Served:
    """MLflow's side of a predictor.

    Args:
        predictor: To be asked.
    """

    def __init__(self, predictor: Predictor):
        self.predictor = predictor

    def predict(
        self, model_input: Mapping[str, Iterable[Any]], params: Any = None
    ) -> list[dict[str, Any]]:
        """An answer for each picture, in their order.

        Args:
            model_input: Column `image`: files in base64, or arrays [H, W, 3] of RGB or [H, W] of
                grey, of whole numbers from 0 to 255.
            params: MLflow's; there are none.

        Raises:
            MlflowException: A picture cannot be used; the server answers 400 and why.
        """
        from mlflow.exceptions import MlflowException

        try:
            pictures = [picture_of(value, at) for at, value in enumerate(model_input[IMAGE], 1)]
            return [row_of(answer) for answer in self.predictor(pictures)]
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


def picture_of(value: Any, number: int) -> bytes | np.ndarray:
    """A picture of a request, whose text is never taken for a path.

    Raises:
        ValueError: It is neither base64 nor an array of pixels.
    """
    wanted = f"image {number}: expected a file in base64, or pixels [H, W, 3] from 0 to 255, got"
    try:
        array = np.array(value)
    except ValueError:  # rows of different lengths
        raise ValueError(f"{wanted} lists of different lengths.") from None
    if array.size == 1 and isinstance(text := array.item(), str):  # MLflow wraps a single one
        try:
            return base64.b64decode(text, validate=True)
        except ValueError:  # other letters than base64's, or than ASCII's
            raise ValueError(f"{wanted} other text.") from None
    if array.dtype.kind not in "iu" or array.size == 0 or array.min() < 0 or array.max() > 255:
        raise ValueError(f"{wanted} {array.dtype} {list(array.shape)}, or others.")
    return array.astype(np.uint8)


def row_of(answer: Answer) -> dict[str, Any]:
    """An answer as JSON has it."""
    return {
        "label": answer.label,
        "probability": answer.probability,
        "unsure": answer.unsure,
        "probabilities": dict(answer.probabilities),
    }
