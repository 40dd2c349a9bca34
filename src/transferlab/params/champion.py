"""The model to take home."""

from .record import Fraction, Name, section


@section
class Champion:
    """The model to take home."""

    strategy: Name | None  # null: the recommended one
    # of the answers on validation images that may be wrong; what is less sure is called unsure
    error: Fraction
