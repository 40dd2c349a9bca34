"""What a served model takes for a picture; how it answers stands in tracking/test_registry.py."""

import base64
from typing import Any

import numpy as np
import pytest

from transferlab.delivery.served import picture_of


@pytest.mark.parametrize("wrapped", [lambda it: it, lambda it: [it], lambda it: np.array([it])])
def test_text_is_a_file_in_base64_and_never_a_path(wrapped: Any) -> None:
    assert picture_of(wrapped(base64.b64encode(b"a file").decode()), 1) == b"a file"
    with pytest.raises(ValueError, match=r"^image 2: expected a file in base64, .* other text\.$"):
        picture_of(wrapped("/etc/passwd!"), 2)
    with pytest.raises(ValueError, match=r"^image 3: expected a file in base64, .* other text\.$"):
        picture_of(wrapped("Größe"), 3)


def test_lists_are_pixels_from_0_to_255() -> None:
    found = picture_of([[[0, 1, 255]], [[2, 3, 4]]], 1)
    assert isinstance(found, np.ndarray)
    assert (found.dtype, found.tolist()) == (np.uint8, [[[0, 1, 255]], [[2, 3, 4]]])


@pytest.mark.parametrize(
    "value", [[[256]], [[-1]], [[0.5]], [], None, [[1, 2], [3]], {"a": 1}, ["a", "b"]]
)
def test_what_is_neither_is_refused_by_its_number(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^image 7: expected a file in base64, or pixels"):
        picture_of(value, 7)
