"""Text of others on its way to a terminal.

Standard library only, because every stage and the composition check import it.
"""


def printable(text: object) -> str:
    """Foreign text in one line that no terminal obeys: what is not printable is escaped.

    Servers, archives, file names and YAML may hold anything: ESC and the C1 codes move the cursor
    and worse, marks of direction reorder a line, line ends forge one.
    """
    return "".join(_escaped(character) for character in str(text))


def message(text: object) -> str:
    """A message of our own that may carry foreign text: its lines stay lines."""
    return "\n".join(map(printable, str(text).split("\n")))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
