"""A weights file as people have it -> the state dict of one backbone, and what was done to it.

What a file is, its bytes decide and never its name. A pickle is read with `weights_only`, always.
Every tensor of the body must come from the file; what was undone on the way is said, and what is
left open is refused.
"""

import functools
import re
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..network import backbones
from .content import EXPORT, FEW, _quoted, content_of, few

COUNTER = "num_batches_tracked"  # of BatchNorm: no network here reads it, and older files have none

DRAWN = 100  # outputs of a head that no file gave; 1000 would be ImageNet's to `controls`

PLAIN = ("float32", "float16", "bfloat16", "float64")

STAND_IN = "one was drawn that no strategy uses"

FOLLOWS = "by its name an average or a teacher"

Named = tuple[tuple[str, ...], Mapping[str, Tensor]]
"""Keys that lead to a mapping, and its tensors by name."""

WRAPPED = re.compile(
    r"(?:(?<=\.)|^)(module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)
"""What DataParallel, torch.compile and FSDP put into names, anywhere: some wrap only `features`."""

AVERAGED = {
    "ema",
    "swa",
    "teacher",
    "target",
    "momentum",
    "k",
    "key",
    "shadow",
    "averaged",
    "average",
    "avg",
}
"""Words in the way to a copy that only follows another network; that one is preferred."""

OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")

OLD_VIT = re.compile(r"^(.*\.mlp)\.linear_([12])\.")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The state dict of a backbone, and how it came out of a file."""

    tensors: dict[str, Tensor]  # under torchvision's names, every one of them, float32
    outputs: int  # of the head
    own_head: bool  # whether the file gave the head; else it was drawn
    undone: tuple[str, ...]  # what was done to the file's content, a phrase each
    used: int  # tensors of the file that are among `tensors`
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


@dataclass(frozen=True, kw_only=True)
class _Network:
    """What a backbone asks for; its tensors are on the meta device."""

    body: Mapping[str, Tensor]
    weight: str  # of the head's linear layer
    bias: str
    features: int

    @functools.cached_property
    def names(self) -> set[str]:
        return {*self.body, self.weight, self.bias}

    @functools.cached_property
    def modules(self) -> set[str]:
        return {_module(name) for name in self.body}

    @property
    def needed(self) -> list[str]:
        return [name for name in self.body if not name.endswith(COUNTER)]

    @property
    def counters(self) -> list[str]:
        return [name for name in self.body if name.endswith(COUNTER)]

    def of_the_head(self, name: str) -> bool:
        """Whether a tensor stands where the head stands, whatever form that head has."""
        return name not in self.body and _module(name) == _module(self.weight)

    def foreign(self, name: str) -> bool:
        """Whether a tensor stands in a module of the body that has no such tensor."""
        known = name in self.names or self.of_the_head(name)
        return not known and _module(name) in self.modules


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a network may stand in a file."""

    way: tuple[str, ...]  # keys of the mappings around it
    removed: tuple[str, ...]  # what wrappers and older versions had made of its names
    prefix: str
    tensors: Mapping[str, Tensor]  # with names after the prefix
    beside: Mapping[str, Tensor]  # of the same mapping, without the prefix

    def __str__(self) -> str:
        way = "/".join([*self.way, self.prefix]).rstrip("/")
        return _quoted(way) if way else "the file itself"

    @property
    def averaged(self) -> bool:
        """Whether its name says that it follows another network, as `model_ema` does."""
        words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", " ".join([*self.way, self.prefix]))
        return not AVERAGED.isdisjoint(word.lower() for word in words)


def read(path: Path, backbone: str, title: str) -> Reading:
    """The state dict of a backbone from a weights file of whatever kind and number of classes.

    Of several copies in one file the network itself is taken and not what averages or teaches it.
    Equal copies are one; copies that differ are refused.

    Args:
        path: The file, under whatever name.
        backbone: A key of `backbones.BACKBONES`.
        title: What messages call the file.

    Raises:
        ValueError: It is no state dict, another network's, incomplete, ambiguous or not finite.
    """
    network, mappings = (
        _network(backbone),
        list(_mappings(content_of(path, title), backbone, title)),
    )
    places = [place for way, tensors in mappings for place in _places(way, tensors, network.names)]
    fitting = [place for place in places if not any(_misfits(place, network))]
    if not fitting:
        raise _misfit(
            max(places, key=lambda place: _score(place, network)), backbone, mappings, title
        )
    place, others = _choose(fitting, network, backbone, title)
    head, about_head = _head(place, network)
    own = _sound({name: place.tensors[name] for name in (*network.needed, *head)}, title)
    own |= _counters(place, network)
    filled = {name: torch.tensor(0) for name in network.counters if name not in own}
    tensors = {**own, **filled, **({} if head else _drawn(network))}
    said = [
        *_undone(place, others),
        *_casts(place, network.needed),
        *_about_counters(filled),
        *about_head,
    ]
    return Reading(
        tensors=tensors,
        outputs=len(tensors[network.bias]),
        own_head=bool(head),
        undone=(*said, *_left_aside(place, others, network, mappings)),
        used=len(own),
        held=sum(len(found) for _, found in mappings),
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


def _places(
    way: tuple[str, ...], tensors: Mapping[str, Tensor], names: Collection[str]
) -> Iterator[_Place]:
    """Where the network may stand in one mapping: behind what precedes any of its names."""
    modern, removed = _modern(tensors)
    for prefix in _prefixes(modern, names):
        inside = {
            key.removeprefix(prefix): value
            for key, value in modern.items()
            if key.startswith(prefix)
        }
        beside = {key: value for key, value in modern.items() if not key.startswith(prefix)}
        yield _Place(way=way, removed=removed, prefix=prefix, tensors=inside, beside=beside)


def _prefixes(found: Iterable[str], names: Collection[str]) -> list[str]:
    """What may stand before the network's names; nothing, where no name is one of them."""
    counts: Counter[str] = Counter()
    for name in found:
        dots = [0, *(match.end() for match in re.finditer(r"\.", name))]
        counts.update(name[:dot] for dot in dots if name[dot:] in names)
    return [prefix for prefix, _ in counts.most_common()] or [""]


def _modern(tensors: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], tuple[str, ...]]:
    """Tensors under the names that a plain network of today has, and what was done for that.

    DenseNet's published files have names of torch 0.3 (`norm.1.weight` for `norm1.weight`),
    VisionTransformer's those of torchvision 0.12 (`mlp.linear_1.weight` for `mlp.0.weight`);
    torchvision renames them as it loads them.
    """
    removed = {match[1]: None for name in tensors for match in WRAPPED.finditer(name)}
    new = {name: _renamed(WRAPPED.sub("", name)) for name in tensors}
    if len(set(new.values())) < len(new):  # then `module.` tells two copies apart
        return tensors, ()
    older = any(_renamed(name) != name for name in tensors)
    said = [f"removed {f'{word}.'!r} from names" for word in removed] + [
        "renamed from older names"
    ] * older
    return {new[name]: value for name, value in tensors.items()}, tuple(said)


def _renamed(name: str) -> str:
    name = OLD_DENSENET.sub(r"\1\2", name)
    return OLD_VIT.sub(lambda match: f"{match[1]}.{3 * (int(match[2]) - 1)}.", name)


@functools.cache
def _network(backbone: str) -> _Network:
    make = backbones.builder(
        backbone
    )  # imports torchvision, which must not happen on the meta device
    with torch.device("meta"):
        tensors = make(1).state_dict()
    weight, bias = list(tensors)[-2:]  # the head comes last in every network here
    features = tensors[weight].shape[1]
    body = {name: value for name, value in tensors.items() if name not in (weight, bias)}
    return _Network(body=body, weight=weight, bias=bias, features=features)


def _misfits(place: _Place, network: _Network) -> tuple[list[str], list[str], list[str]]:
    """Names of the body that are missing, unknown to it, and of tensors of another shape."""
    found = place.tensors
    missing = [name for name in network.needed if name not in found]
    given = [name for name in network.needed if name in found]
    shapes = [name for name in given if found[name].shape != network.body[name].shape]
    return missing, [name for name in found if network.foreign(name)], shapes


def _score(place: _Place, network: _Network) -> int:
    """How much of the body stands there."""
    missing, _, shapes = _misfits(place, network)
    return -len(missing) - len(shapes)


def _misfit(place: _Place, backbone: str, mappings: Sequence[Named], title: str) -> ValueError:
    """What is wrong with the place that comes nearest."""
    network = _network(backbone)
    missing, unknown, shapes = _misfits(place, network)
    if missing:
        unknown = [name for name in place.tensors if name not in network.names]
    counts = (
        f"{len(missing)} tensors missing, {len(unknown)} unknown and {len(shapes)} of another shape"
    )
    sizes = [
        f"{name} {_shape(place.tensors[name])} for {_shape(network.body[name])}" for name in shapes
    ]
    groups = {"missing": missing, "unknown": unknown, "of another shape": sizes}
    named = "; ".join(f"{word}: {few(names)}" for word, names in groups.items() if names)
    where = f" at {place}" if place.way or place.prefix else ""
    advice = "Choose the backbone it belongs to, under the names that torchvision gives"
    return ValueError(
        f"{title}: expected the state dict of {backbone}, got one with {counts}{where} ({named}). "
        f"{_belongs(mappings) or advice}."
    )


def _belongs(mappings: Sequence[Named]) -> str | None:
    """The backbone that a file is of, if it is one of those here."""
    for name in backbones.BACKBONES:
        network = _network(name)
        places = (
            place for way, tensors in mappings for place in _places(way, tensors, network.names)
        )
        if any(not any(_misfits(place, network)) for place in places):
            return f"It is of {name}: set backbone={name}"
    return None


def _choose(
    fitting: Sequence[_Place], network: _Network, backbone: str, title: str
) -> tuple[_Place, Sequence[_Place]]:
    """The place to read from, the network itself before what follows it; and the other ones."""
    itself = [place for place in fitting if not place.averaged] or fitting
    first = itself[0]
    different = [place for place in itself[1:] if not _same(first, place, network.needed)]
    if different:
        raise ValueError(
            f"{title}: expected one {backbone}, got {len(different) + 1} that differ and are "
            "named alike "
            f"({', '.join(str(place) for place in (first, *different)[:FEW])}). Save the one you "
            "mean alone."
        )
    return first, [place for place in fitting if place is not first]


def _same(first: _Place, second: _Place, names: Iterable[str]) -> bool:
    pairs = ((first.tensors[name], second.tensors[name]) for name in names)
    return all(a is b or (_type(a) == _type(b) in PLAIN and torch.equal(a, b)) for a, b in pairs)


def _head(place: _Place, network: _Network) -> tuple[tuple[str, ...], list[str]]:
    """Names of the head's two tensors; or none, where the file has no such head, and why."""
    stands = [name for name in place.tensors if network.of_the_head(name)]
    if not stands:
        return (), [f"has no head, {STAND_IN}"]
    why = _unlike(place, network, stands)
    if why:
        return (), [f"left out a head {why} ({few(stands)}), {STAND_IN}"]
    return (network.weight, network.bias), []


def _unlike(place: _Place, network: _Network, stands: Sequence[str]) -> str | None:
    """Why a head is not a linear layer whose outputs are the network's."""
    if set(stands) != {network.weight, network.bias}:
        return "of another form"
    weight, bias = place.tensors[network.weight], place.tensors[network.bias]
    if bias.dim() != 1 or not len(bias) or weight.shape != (len(bias), network.features):
        return "of another shape"
    rest = {name: value for name, value in place.tensors.items() if name not in network.names}
    above = [
        name for name, value in {**rest, **place.beside}.items() if _takes(name, value, len(bias))
    ]
    # A classifier on top of ImageNet's thousand outputs trained these further: they mean no class.
    return f"below another layer, {_quoted(above[0])}" if above else None


def _takes(name: str, value: Tensor, inputs: int) -> bool:
    """Whether a tensor is a linear layer's with so many inputs."""
    return f".{name}".endswith(".weight") and value.dim() == 2 and value.shape[1] == inputs


def _drawn(network: _Network) -> dict[str, Tensor]:
    """A head that is always the same: `engine` measures logits, and no strategy keeps it."""
    chance = torch.Generator().manual_seed(0)
    weight = torch.randn(DRAWN, network.features, generator=chance) / network.features**0.5
    return {network.weight: weight, network.bias: torch.zeros(DRAWN)}


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


def _counters(place: _Place, network: _Network) -> dict[str, Tensor]:
    """BatchNorm's counters that are whole numbers; `half()` may have made infinity of them."""
    given = {name: place.tensors[name] for name in network.counters if name in place.tensors}
    whole = {
        name: value
        for name, value in given.items()
        if _type(value) == "int64" and value.numel() == 1
    }
    return {name: value.reshape(()) for name, value in whole.items()}


def _undone(place: _Place, others: Sequence[_Place]) -> list[str]:
    opened = [f"opened {_quoted('/'.join(place.way))}"] if place.way else []
    prefix = [f"removed the prefix {_quoted(place.prefix)}"] if place.prefix else []
    only = [f"took {place}, {FOLLOWS}, for want of another"] if place.averaged else []
    ignored = [f"ignored {other}, {_relation(other, place)}" for other in others]
    return [*opened, *place.removed, *prefix, *only, *ignored]


def _relation(other: _Place, place: _Place) -> str:
    """Why one fitting place was not taken."""
    return FOLLOWS if other.averaged and not place.averaged else "the same numbers"


def _casts(place: _Place, names: Iterable[str]) -> list[str]:
    types = sorted({_type(place.tensors[name]) for name in names} - {"float32"})
    return [f"cast from {' and '.join(types)}"] if types else []


def _about_counters(filled: Collection[str]) -> list[str]:
    return [f"filled in {len(filled)} counters of BatchNorm ({COUNTER})"] if filled else []


def _left_aside(
    place: _Place, others: Sequence[_Place], network: _Network, mappings: Sequence[Named]
) -> list[str]:
    """What else the file holds: tensors beside the network, and other mappings."""
    rest = [
        name
        for name in place.tensors
        if name not in network.names and not network.of_the_head(name)
    ]
    said = [other.prefix for other in others if other.way == place.way and other.prefix]
    beside = [*rest, *(name for name in place.beside if not name.startswith(tuple(said)))]
    ways = {way for way, _ in mappings} - {place.way, (), *(other.way for other in others)}
    found = [f"left aside {_count(beside)} ({few(beside)})"] if beside else []
    return found + (
        [f"left aside what stands under {few(sorted({way[0] for way in ways}))}"] if ways else []
    )


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} tensors" if len(names) > 1 else "a tensor"


def _shape(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "a number"


def _module(name: str) -> str:
    """The outermost module that a tensor stands in."""
    return name.partition(".")[0]
