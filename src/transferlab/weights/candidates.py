"""Where in a weights file a network may stand: behind which keys, which prefix and which names."""

import contextlib
import functools
import importlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..network import backbones
from ..params.learning.network import origin_of
from .content import quoted

COUNTER = "num_batches_tracked"  # of BatchNorm: no network here reads it, and older files have none

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
class Network:
    """What a backbone asks for; its tensors are on the meta device."""

    body: Mapping[str, Tensor]
    parts: Mapping[str, str]  # name of a tensor of the body among the parts -> its own name
    weight: str  # of the head's linear layer
    bias: str
    features: int

    @functools.cached_property
    def names(self) -> set[str]:
        """Of all tensors."""
        return {*self.body, self.weight, self.bias}

    @functools.cached_property
    def modules(self) -> set[str]:
        """The outermost modules of the body."""
        return {_module_of(name) for name in self.body}

    @property
    def needed(self) -> list[str]:
        """Names of the body without which nothing can be computed."""
        return [name for name in self.body if not name.endswith(COUNTER)]

    @property
    def counters(self) -> list[str]:
        """Names of BatchNorm's counters."""
        return [name for name in self.body if name.endswith(COUNTER)]

    def of_the_head(self, name: str) -> bool:
        """Whether a tensor stands where the head stands, whatever form that head has."""
        return name not in self.body and _module_of(name) == _module_of(self.weight)

    def foreign(self, name: str) -> bool:
        """Whether a tensor stands in a module of the body that has no such tensor."""
        known = name in self.names or self.of_the_head(name)
        return not known and _module_of(name) in self.modules


@functools.cache
def network_of(backbone: str) -> Network:
    """What a backbone asks for.

    Raises:
        ValueError: There is no such network, or its parts are not known.
    """
    library, _ = origin_of(backbone)
    if library in backbones.LIBRARIES:
        with contextlib.suppress(ImportError):  # told below
            importlib.import_module(library)  # which must not happen on the meta device
    with torch.device("meta"):
        net = backbones.builder(backbone)(1)
    tensors = net.state_dict(keep_vars=True)
    names = {id(tensor): name for name, tensor in tensors.items()}
    parts = backbones.in_parts(backbone, net)
    linear = parts.get_submodule("head")[-1]  # type: ignore[index]
    weight, bias = names[id(linear.weight)], names[id(linear.bias)]
    features = tensors[weight].shape[1]
    body = {name: value for name, value in tensors.items() if name not in (weight, bias)}
    state = parts.state_dict(keep_vars=True)
    ours = {key: names[id(value)] for key, value in state.items() if not key.startswith("head.")}
    return Network(body=body, parts=ours, weight=weight, bias=bias, features=features)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Where a network may stand in a file."""

    way: tuple[str, ...]  # keys of the mappings around it
    removed: tuple[str, ...]  # what wrappers and older versions had made of its names
    prefix: str
    tensors: Mapping[str, Tensor]  # with names after the prefix
    beside: Mapping[str, Tensor]  # of the same mapping, without the prefix

    def __str__(self) -> str:
        way = "/".join([*self.way, self.prefix]).rstrip("/")
        return quoted(way) if way else "the file itself"

    @property
    def averaged(self) -> bool:
        """Whether its name says that it follows another network, as `model_ema` does."""
        words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", " ".join([*self.way, self.prefix]))
        return not AVERAGED.isdisjoint(word.lower() for word in words)


def candidates_in(
    way: tuple[str, ...], tensors: Mapping[str, Tensor], network: Network
) -> Iterator[Candidate]:
    """Where the network may stand in one mapping: behind what precedes any of its names."""
    today, removed = modern(tensors)
    if network.parts.keys() <= today.keys():  # a model of this project
        today = {network.parts.get(name, name): value for name, value in today.items()}
        removed = (*removed, "renamed from the names of parts")
    for prefix in _prefixes(today, network.names):
        inside = {
            key.removeprefix(prefix): value
            for key, value in today.items()
            if key.startswith(prefix)
        }
        beside = {key: value for key, value in today.items() if not key.startswith(prefix)}
        yield Candidate(way=way, removed=removed, prefix=prefix, tensors=inside, beside=beside)


def _prefixes(held: Iterable[str], names: Collection[str]) -> list[str]:
    """What may stand before the network's names; nothing, where no name is one of them."""
    counts: Counter[str] = Counter()
    for name in held:
        dots = [0, *(match.end() for match in re.finditer(r"\.", name))]
        counts.update(name[:dot] for dot in dots if name[dot:] in names)
    return [prefix for prefix, _ in counts.most_common()] or [""]


def modern(tensors: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], tuple[str, ...]]:
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
    said = [f"removed {f'{word}.'!r} from names" for word in removed]
    said += ["renamed from older names"] * older
    return {new[name]: value for name, value in tensors.items()}, tuple(said)


def _renamed(name: str) -> str:
    name = OLD_DENSENET.sub(r"\1\2", name)
    return OLD_VIT.sub(lambda match: f"{match[1]}.{3 * (int(match[2]) - 1)}.", name)


def misfits(candidate: Candidate, network: Network) -> tuple[list[str], list[str], list[str]]:
    """Names of the body that are missing, unknown to it, and of tensors of another shape."""
    held = candidate.tensors
    missing = [name for name in network.needed if name not in held]
    given = [name for name in network.needed if name in held]
    shapes = [name for name in given if held[name].shape != network.body[name].shape]
    return missing, [name for name in held if network.foreign(name)], shapes


def _module_of(name: str) -> str:
    """The outermost module that a tensor stands in."""
    return name.partition(".")[0]
