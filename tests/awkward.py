"""Names that are markup, a format, a formula or nothing at all."""

AWKWARD = [
    "$x^",
    "<img src=x>",
    "犬",
    "a\nb",
    "",
    "very long class name that never ends",
    "_",
    "%d {}",
]
