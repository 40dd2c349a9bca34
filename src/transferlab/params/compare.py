"""Statistics."""

from typing import Annotated

from pydantic import Field

from .record import Fraction, section


@section
class Compare:
    """Statistics."""

    confidence: Fraction  # of all intervals; the tests' level is 1 minus this
    resamples: Annotated[int, Field(ge=100)]  # of the bootstrap
    margin: Fraction  # "as good as": the accuracy that may be lost at most, by non-inferiority
    # of equal width, by the probability of the predicted class
    calibration_bins: Annotated[int, Field(ge=2, le=100)]
