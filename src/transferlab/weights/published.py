"""A weights file as people have it -> the state dict of one backbone, and what was done to it.

What a file is, its bytes decide and never its name. A pickle is read with `weights_only`, always.
Every tensor of the body must come from the file; what was undone on the way is said, and what is
left open is refused.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..params.learning.network import FAMILIES
from .candidates import COUNTER, Candidate, Named, Network, candidates_in, misfits, network_of
from .content import EXPORT, FEW, content_of, few, quoted
from .head import auxiliary_of, drawn_head, head_of

PLAIN = ("float32", "float16", "bfloat16", "float64")

FOLLOWS = "by its name an average or a teacher"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The state dict of a backbone, and how it came out of a file."""

    tensors: dict[str, Tensor]  # under torchvision's names, every one of them, float32
    auxiliary: dict[str, Tensor]  # of an auxiliary classifier, under its own names
    outputs: int  # of the head
    own_head: bool  # whether the file gave the head; else it was drawn
    undone: tuple[str, ...]  # what was done to the file's content, a phrase each
    used: int  # tensors of the file that are among these
    held: int  # tensors of the file

    def facts(self) -> dict[str, Any]:
        """All but the tensors, JSON-able."""
        head = {"head_outputs": self.outputs if self.own_head else None}
        return {
            "tensors_used": self.used,
            "tensors_held": self.held,
            **head,
            "undone": list(self.undone),
        }


def read(path: Path, backbone: str, title: str) -> Reading:
    """The state dict of a backbone from a weights file of whatever kind and number of classes.

    Of several copies in one file the network itself is taken and not what averages or teaches it.
    Equal copies are one; copies that differ are refused.

    Args:
        path: The file, under whatever name.
        backbone: A key of `FAMILIES`.
        title: What messages call the file.

    Raises:
        ValueError: It is no state dict, another network's, incomplete, ambiguous or not finite.
    """
    network = network_of(backbone)
    mappings = list(_mappings(content_of(path, title), backbone, title))
    candidates = [
        candidate for way, tensors in mappings for candidate in candidates_in(way, tensors, network)
    ]
    fitting = [candidate for candidate in candidates if not any(misfits(candidate, network))]
    if not fitting:
        nearest = max(candidates, key=lambda candidate: _score(candidate, network))
        raise _misfit(nearest, backbone, mappings, title)
    chosen, others = _choose(fitting, network, backbone, title)
    head, about_head = head_of(chosen, network)
    own = _sound({name: chosen.tensors[name] for name in (*network.needed, *head)}, title)
    own |= _counters(chosen, network)
    aside = auxiliary_of(chosen, backbone)
    beside = _sound({name: chosen.tensors[name] for name in aside}, title)
    filled = {name: torch.tensor(0) for name in network.counters if name not in own}
    tensors = {**own, **filled, **({} if head else drawn_head(network))}
    return Reading(
        tensors=tensors,
        auxiliary={aside[name]: value for name, value in beside.items()},
        outputs=len(tensors[network.bias]),
        own_head=bool(head),
        undone=(
            *_undone(chosen, others),
            *_casts(chosen, network.needed),
            *_about_counters(filled),
            *about_head,
            *_left_aside(chosen, others, {*network.names, *aside}, network, mappings),
        ),
        used=len(own) + len(beside),
        held=sum(len(tensors) for _, tensors in mappings),
    )


def _mappings(content: Any, backbone: str, title: str) -> Iterator[Named]:
    """Every mapping that holds tensors by name, with the keys that lead to it, outermost first.

    Raises:
        ValueError: There is none.
    """
    none = True
    open_: deque[tuple[tuple[str, ...], Any]] = deque([((), content)])
    seen: set[int] = set()  # a pickle may hold itself
    while open_:
        way, value = open_.popleft()
        if not isinstance(value, Mapping):
            continue
        tensors = {
            key: each
            for key, each in value.items()
            if isinstance(key, str) and isinstance(each, Tensor)
        }
        if tensors:
            none = False
            yield way, tensors
        if id(value) not in seen:
            seen.add(id(value))
            open_ += [((*way, str(key)), each) for key, each in value.items()]
    if none:
        raise ValueError(
            f"{title}: expected the state dict of {backbone}, tensors by name, got "
            f"{_kind(content)}. {EXPORT}"
        )


def _kind(content: Any) -> str:
    """What a file without named tensors holds."""
    if isinstance(content, Mapping):
        return f"a mapping without any ({few([str(key) for key in content]) or 'empty'})"
    return f"a {type(content).__name__}"


def _score(candidate: Candidate, network: Network) -> int:
    """How much of the body stands there."""
    missing, _, shapes = misfits(candidate, network)
    return -len(missing) - len(shapes)


def _misfit(
    candidate: Candidate, backbone: str, mappings: Sequence[Named], title: str
) -> ValueError:
    """What is wrong with the candidate that comes nearest."""
    network = network_of(backbone)
    missing, unknown, shapes = misfits(candidate, network)
    if missing:
        unknown = [name for name in candidate.tensors if name not in network.names]
    counts = (
        f"{len(missing)} tensors missing, {len(unknown)} unknown and {len(shapes)} of another shape"
    )
    sizes = [
        f"{name} {_shape(candidate.tensors[name])} for {_shape(network.body[name])}"
        for name in shapes
    ]
    groups = {"missing": missing, "unknown": unknown, "of another shape": sizes}
    named = "; ".join(f"{word}: {few(names)}" for word, names in groups.items() if names)
    where = f" at {candidate}" if candidate.way or candidate.prefix else ""
    advice = "Choose the backbone it belongs to, under the names that torchvision gives"
    return ValueError(
        f"{title}: expected the state dict of {backbone}, got one with {counts}{where} ({named}). "
        f"{_belongs(mappings) or advice}."
    )


def _belongs(mappings: Sequence[Named]) -> str | None:
    """The backbone that a file is of, if it is one of those here."""
    for name in FAMILIES:
        network = network_of(name)
        candidates = (
            candidate
            for way, tensors in mappings
            for candidate in candidates_in(way, tensors, network)
        )
        if any(not any(misfits(candidate, network)) for candidate in candidates):
            return f"It is of {name}: set backbone={name}"
    return None


def _choose(
    fitting: Sequence[Candidate], network: Network, backbone: str, title: str
) -> tuple[Candidate, Sequence[Candidate]]:
    """The candidate to read from, the network itself before what follows it; and the other ones."""
    itself = [candidate for candidate in fitting if not candidate.averaged] or fitting
    first = itself[0]
    different = [
        candidate for candidate in itself[1:] if not _same(first, candidate, network.needed)
    ]
    if different:
        named = ", ".join(str(candidate) for candidate in (first, *different)[:FEW])
        raise ValueError(
            f"{title}: expected one {backbone}, got {len(different) + 1} that differ and are "
            f"named alike ({named}). Save the one you mean alone."
        )
    return first, [candidate for candidate in fitting if candidate is not first]


def _same(first: Candidate, second: Candidate, names: Iterable[str]) -> bool:
    pairs = ((first.tensors[name], second.tensors[name]) for name in names)
    return all(a is b or (_type(a) == _type(b) in PLAIN and torch.equal(a, b)) for a, b in pairs)


def _sound(tensors: Mapping[str, Tensor], title: str) -> dict[str, Tensor]:
    """The tensors as float32, every number finite and every variance one.

    Raises:
        ValueError: They are not.
    """
    odd = [f"{name} {_type(value)}" for name, value in tensors.items() if _type(value) not in PLAIN]
    if odd:
        raise ValueError(
            f"{title}: expected tensors of {', '.join(PLAIN)}, got {few(odd)}. {EXPORT}"
        )
    plain = {name: value.detach().to(torch.float32).contiguous() for name, value in tensors.items()}
    endless = [name for name, value in plain.items() if not value.isfinite().all()]
    if endless:
        raise ValueError(
            f"{title}: expected finite numbers, got NaN or infinity in {few(endless)}. "
            f"Nothing can be learned from these; take an earlier checkpoint or another file."
        )
    negative = [
        name for name, value in plain.items() if name.endswith("running_var") and (value < 0).any()
    ]
    if negative:
        raise ValueError(
            f"{title}: expected variances, got numbers below 0 in {few(negative)}. "
            f"BatchNorm would give NaN; take an earlier checkpoint or another file."
        )
    return plain


def _type(value: Tensor) -> str:
    """The type of a tensor's numbers, or why it has none."""
    if value.is_meta:
        return "without numbers"
    kind = value.dtype if value.layout == torch.strided else value.layout
    return str(kind).removeprefix("torch.")


def _counters(candidate: Candidate, network: Network) -> dict[str, Tensor]:
    """BatchNorm's counters that are whole numbers; `half()` may have made infinity of them."""
    given = {
        name: candidate.tensors[name] for name in network.counters if name in candidate.tensors
    }
    whole = {
        name: value
        for name, value in given.items()
        if _type(value) == "int64" and value.numel() == 1
    }
    return {name: value.reshape(()) for name, value in whole.items()}


def _undone(candidate: Candidate, others: Sequence[Candidate]) -> list[str]:
    opened = [f"opened {quoted('/'.join(candidate.way))}"] if candidate.way else []
    prefix = [f"removed the prefix {quoted(candidate.prefix)}"] if candidate.prefix else []
    only = [f"took {candidate}, {FOLLOWS}, for want of another"] if candidate.averaged else []
    ignored = [f"ignored {other}, {_relation(other, candidate)}" for other in others]
    return [*opened, *candidate.removed, *prefix, *only, *ignored]


def _relation(other: Candidate, candidate: Candidate) -> str:
    """Why one fitting candidate was not taken."""
    return FOLLOWS if other.averaged and not candidate.averaged else "the same numbers"


def _casts(candidate: Candidate, names: Iterable[str]) -> list[str]:
    types = sorted({_type(candidate.tensors[name]) for name in names} - {"float32"})
    return [f"cast from {' and '.join(types)}"] if types else []


def _about_counters(filled: Collection[str]) -> list[str]:
    return [f"filled in {len(filled)} counters of BatchNorm ({COUNTER})"] if filled else []


def _left_aside(
    candidate: Candidate,
    others: Sequence[Candidate],
    known: Collection[str],
    network: Network,
    mappings: Sequence[Named],
) -> list[str]:
    """What else the file holds: tensors beside those that are known, and other mappings."""
    rest = [
        name for name in candidate.tensors if name not in known and not network.of_the_head(name)
    ]
    said = [other.prefix for other in others if other.way == candidate.way and other.prefix]
    beside = [*rest, *(name for name in candidate.beside if not name.startswith(tuple(said)))]
    ways = {way for way, _ in mappings} - {candidate.way, (), *(other.way for other in others)}
    found = [f"left aside {_count(beside)} ({few(beside)})"] if beside else []
    return found + (
        [f"left aside what stands under {few(sorted({way[0] for way in ways}))}"] if ways else []
    )


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} tensors" if len(names) > 1 else "a tensor"


def _shape(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "a number"
