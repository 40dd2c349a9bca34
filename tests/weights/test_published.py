"""A weights file as people have it gives the backbone's state dict and says what was done, or one
line says why not.
"""

import argparse
import io
import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save
from torch import Tensor, nn

from transferlab.network import auxiliary, backbones, torchvision_parts
from transferlab.params.learning.network import FAMILIES
from transferlab.weights import candidates, head, published

NAME = "mobilenet_v3_small"
COUNTER = "num_batches_tracked"
PUBLISHED = sorted(set(FAMILIES) - {"tiny"})
Tensors = Mapping[str, Tensor]


@cache
def network() -> nn.Module:
    """Seven classes, and statistics and counters as training leaves them."""
    chance = torch.Generator().manual_seed(0)
    net = torchvision.models.get_model(NAME, num_classes=7, weights=None)
    for name, tensor in net.state_dict().items():
        tensor.copy_(3 if name.endswith(COUNTER) else torch.rand(tensor.shape, generator=chance))
    return net


@cache
def real() -> dict[str, Tensor]:
    return dict(network().state_dict())


@cache
def other(seed: int = 1) -> dict[str, Tensor]:
    """The same network trained by somebody else."""
    chance = torch.Generator().manual_seed(seed)
    return {
        key: torch.rand(value.shape, generator=chance).to(value.dtype)
        for key, value in real().items()
    }


def under(prefix: str, tensors: Tensors | None = None) -> dict[str, Tensor]:
    return {f"{prefix}{key}": value for key, value in (tensors or real()).items()}


def without(*words: str) -> dict[str, Tensor]:
    return {key: value for key, value in real().items() if not any(word in key for word in words)}


def with_head(**tensors: Tensor) -> dict[str, Tensor]:
    """Another head, `_` in a name for a dot."""
    return without("classifier.3") | {
        f"classifier.{key.replace('_', '.')}": value for key, value in tensors.items()
    }


def linear(outputs: int, inputs: int = 1024) -> dict[str, Tensor]:
    return {"weight": torch.rand(outputs, inputs), "bias": torch.rand(outputs)}


def as_type(dtype: torch.dtype) -> dict[str, Tensor]:
    return {
        key: value.to(dtype) if value.is_floating_point() else value
        for key, value in real().items()
    }


def changed(**values: Any) -> dict[str, Tensor]:
    """With one number of some tensors replaced; `__` in a name for a dot."""
    tensors = {key: value.clone() for key, value in real().items()}
    for key, value in values.items():
        tensors[key.replace("__", ".")].view(-1)[0] = value
    return tensors


def held(path: Path, content: Any, **how: Any) -> Path:
    torch.save(content, path, **how)
    return path


def read(path: Path, backbone: str = NAME) -> published.Reading:
    return published.read(path, backbone, path.name)


DRAWN = "one was drawn that no strategy uses"
ASIDE = "left aside 2 tensors ('loss.weight', 'val_acc.correct')"
AVERAGE = "by its name an average or a teacher"
EMA = f"ignored 'state_dict_ema', {AVERAGE}"
FILLED = "filled in 34 counters of BatchNorm (num_batches_tracked)"
EXTRAS = {"loss.weight": torch.ones(7), "val_acc.correct": torch.zeros(7, dtype=torch.int64)}
HIDDEN = {f"3.0.{key}": value for key, value in linear(256).items()} | {
    "3.2.weight": torch.rand(2, 256)
}
TWO_LAYERS = "'classifier.3.0.weight', 'classifier.3.0.bias', 'classifier.3.2.weight'"
LOADED: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "as published": (real, []),
    "without counters": (lambda: without(COUNTER), [FILLED]),
    "counters of half precision": (
        lambda: {k: v.half() for k, v in real().items()},
        ["cast from float16", FILLED],
    ),
    "counters of shape [1]": (
        lambda: {k: v[None] if COUNTER in k else v for k, v in real().items()},
        [],
    ),
    "half": (lambda: as_type(torch.float16), ["cast from float16"]),
    "bfloat16": (lambda: as_type(torch.bfloat16), ["cast from bfloat16"]),
    "double": (lambda: as_type(torch.float64), ["cast from float64"]),
    "parameters": (
        lambda: {k: nn.Parameter(v, v.is_floating_point()) for k, v in real().items()},
        [],
    ),
    "reversed": (lambda: dict(reversed(real().items())), []),
    **{
        prefix: (lambda prefix=prefix: under(prefix), [f"removed the prefix {prefix!r}"])
        for prefix in ("model.", "backbone.", "encoder.", "net.", "a.b.0.trunk.")
    },
    **{
        prefix: (lambda prefix=prefix: under(prefix), [f"removed {prefix!r} from names"])
        for prefix in ("module.", "_orig_mod.", "_fsdp_wrapped_module.")
    },
    "model.module.": (
        lambda: under("model.module."),
        ["removed 'module.' from names", "removed the prefix 'model.'"],
    ),
    "module.model._orig_mod.": (
        lambda: under("module.model._orig_mod."),
        [
            "removed 'module.' from names",
            "removed '_orig_mod.' from names",
            "removed the prefix 'model.'",
        ],
    ),
    "features alone in DataParallel": (
        lambda: {
            key.replace("features.", "features.module."): value for key, value in real().items()
        },
        ["removed 'module.' from names"],
    ),
    **{
        wrapper: (lambda wrapper=wrapper: {wrapper: real(), "epoch": 3}, [f"opened {wrapper!r}"])
        for wrapper in (
            "state_dict",
            "model_state_dict",
            "model",
            "net",
            "weights",
            "params",
            "whatever it is",
        )
    },
    "nested": (
        lambda: {"checkpoint": {"model": under("module.")}, "lr": 0.1},
        ["opened 'checkpoint/model'", "removed 'module.' from names"],
    ),
    "tutorial": (
        lambda: {
            "model_state_dict": real(),
            "optimizer_state_dict": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []},
        },
        ["opened 'model_state_dict'", "left aside what stands under 'optimizer_state_dict'"],
    ),
    "wrapped DataParallel with a tensor beside": (
        lambda: {"state_dict": under("module."), "arch": NAME, "best_acc1": torch.tensor(71.0)},
        ["opened 'state_dict'", "removed 'module.' from names"],
    ),
    "Lightning": (
        lambda: {
            "state_dict": under("model.") | EXTRAS,
            "pytorch-lightning_version": "2.5",
            "loops": {"a": {"b": 1}},
        },
        ["opened 'state_dict'", "removed the prefix 'model.'", ASIDE],
    ),
    "Lightning with a teacher of the same kind": (
        lambda: {"state_dict": under("teacher.", other()) | under("model.")},
        [
            "opened 'state_dict'",
            "removed the prefix 'model.'",
            f"ignored 'state_dict/teacher.', {AVERAGE}",
        ],
    ),
    "Lightning with a teacher of another kind": (
        lambda: {
            "state_dict": under("teacher.", {"conv1.weight": torch.ones(2)}) | under("model.")
        },
        [
            "opened 'state_dict'",
            "removed the prefix 'model.'",
            "left aside a tensor ('teacher.conv1.weight')",
        ],
    ),
    "an average beside it": (
        lambda: {"state_dict_ema": other(), "state_dict": real()},
        ["opened 'state_dict'", EMA],
    ),
    "the same average beside it": (
        lambda: {"state_dict": real(), "state_dict_ema": real()},
        ["opened 'state_dict'", EMA],
    ),
    "an average deep beside it": (
        lambda: {"model": real(), "extra": {"modelEMA": other()}},
        ["opened 'model'", f"ignored 'extra/modelEMA', {AVERAGE}"],
    ),
    "an average alone": (
        lambda: {"model_ema": under("module."), "n_averaged": torch.tensor(3)},
        [
            "opened 'model_ema'",
            "removed 'module.' from names",
            f"took 'model_ema', {AVERAGE}, for want of another",
        ],
    ),
    "averaged by torch": (
        lambda: {"n_averaged": torch.tensor(3), **under("module.")},
        ["removed 'module.' from names", "left aside a tensor ('n_averaged')"],
    ),
    "momentum contrast": (
        lambda: (
            under("module.encoder_k.", other())
            | under("module.encoder_q.")
            | {"module.queue": torch.ones(7, 9)}
        ),
        [
            "removed 'module.' from names",
            "removed the prefix 'encoder_q.'",
            f"ignored 'encoder_k.', {AVERAGE}",
            "left aside a tensor ('queue')",
        ],
    ),
    "student and teacher": (
        lambda: {"teacher": under("backbone.", other()), "student": under("module.backbone.")},
        [
            "opened 'student'",
            "removed 'module.' from names",
            "removed the prefix 'backbone.'",
            f"ignored 'teacher/backbone.', {AVERAGE}",
        ],
    ),
    "two equal copies": (
        lambda: under("first.") | {key: value.clone() for key, value in under("second.").items()},
        ["removed the prefix 'first.'", "ignored 'second.', the same numbers"],
    ),
    "no head": (lambda: without("classifier.3"), [f"has no head, {DRAWN}"]),
    "a head under another name": (
        lambda: without("classifier.3") | {"projector.0.weight": torch.ones(9, 1024)},
        [f"has no head, {DRAWN}", "left aside a tensor ('projector.0.weight')"],
    ),
    "a head of two layers": (
        lambda: with_head(**{key.replace(".", "_"): value for key, value in HIDDEN.items()}),
        [f"left out a head of another form ({TWO_LAYERS}), {DRAWN}"],
    ),
    "a head with more layers behind": (
        lambda: (
            real() | {"classifier.6.weight": torch.ones(2, 7), "classifier.6.bias": torch.ones(2)}
        ),
        [
            "left out a head of another form ('classifier.3.weight', 'classifier.3.bias', "
            "'classifier.6.weight', "
            f"1 more), {DRAWN}"
        ],
    ),
    "a head without bias": (
        lambda: with_head(**{"3_weight": torch.ones(7, 1024)}),
        [f"left out a head of another form ('classifier.3.weight'), {DRAWN}"],
    ),
    "a head of other features": (
        lambda: with_head(**{f"3_{key}": value for key, value in linear(7, 99).items()}),
        [f"left out a head of another shape ('classifier.3.weight', 'classifier.3.bias'), {DRAWN}"],
    ),
    "a head below another layer": (
        lambda: under("0.") | {"1.weight": torch.ones(2, 7)},
        [
            "removed the prefix '0.'",
            (
                "left out a head below another layer, '1.weight' ('classifier.3.weight', "
                f"'classifier.3.bias'), {DRAWN}"
            ),
            "left aside a tensor ('1.weight')",
        ],
    ),
}


@pytest.mark.parametrize("case", LOADED)
def test_file_is_read_and_what_was_done_is_said(case: str, tmp_path: Path) -> None:
    make, undone = LOADED[case]
    found = read(held(tmp_path / "own.pth", make()))
    assert list(found.undone) == undone
    own = {
        key: value
        for key, value in found.tensors.items()
        if found.own_head or "classifier.3" not in key
    }
    assert found.own_head is not any(DRAWN in phrase for phrase in undone)
    assert found.tensors.keys() == real().keys()
    rounding = 0.004 if "bfloat16" in str(undone) else 0.0005 if "float16" in str(undone) else 0
    for key, value in own.items():
        expected = torch.tensor(0) if COUNTER in key and FILLED in undone else real()[key]
        assert value.dtype == expected.dtype
        assert torch.allclose(value, expected, rtol=rounding, atol=rounding), key
    assert found.used == len(own) - 34 * (FILLED in undone)
    assert found.outputs == (7 if found.own_head else head.DRAWN)


def test_head_of_any_number_of_classes_is_kept(tmp_path: Path) -> None:
    tensors = with_head(**{f"3_{key}": value for key, value in linear(1000).items()})
    found = read(held(tmp_path / "own.pth", tensors))
    assert (found.outputs, found.facts()["head_outputs"]) == (1000, 1000)
    assert torch.equal(found.tensors["classifier.3.weight"], tensors["classifier.3.weight"])
    built = backbones.build(NAME, found.outputs, weights=found.tensors)
    assert torch.equal(built.get_parameter("head.1.weight"), tensors["classifier.3.weight"])


def test_head_that_no_file_gave_is_the_same_every_time_and_never_imagenet_s(tmp_path: Path) -> None:
    path = held(tmp_path / "own.pth", without("classifier.3"))
    first, second = read(path), read(path)
    assert torch.equal(first.tensors["classifier.3.weight"], second.tensors["classifier.3.weight"])
    assert first.facts()["head_outputs"] is None
    assert first.outputs != 1000


@pytest.mark.parametrize("suffix", ["pth", "safetensors", "pth.tar", "ckpt", "bin"])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_bytes_and_not_the_name_say_what_a_file_is(kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"own.{suffix}"
    if kind == "safetensors":
        path.write_bytes(save(real()))
    else:
        held(path, real(), _use_new_zipfile_serialization=kind == "zip")
    found = read(path)
    assert found.undone == ()
    assert all(torch.equal(value, real()[key]) for key, value in found.tensors.items())


# ---------------------------------------------------------------- what torchvision publishes


@cache
def shapes(name: str) -> dict[str, Tensor]:
    with torch.device("meta"):
        return dict(torchvision_parts.whole(name, 1000).state_dict())


def old_name(key: str) -> str:
    """As DenseNet's and VisionTransformer's published files call it."""
    for kind in ("norm", "conv"):
        for number in "12":
            if "denselayer" in key:
                key = key.replace(f".{kind}{number}.", f".{kind}.{number}.")
    return key.replace(".mlp.0.", ".mlp.linear_1.").replace(".mlp.3.", ".mlp.linear_2.")


def as_published(name: str) -> OrderedDict[str, Tensor]:
    """The names of torchvision's oldest file of it; each tensor is one number repeated, so the file
    stays small.
    """
    made = {key: value for key, value in shapes(name).items() if not key.endswith(COUNTER)}
    return OrderedDict(
        (old_name(key), torch.tensor(i + 0.5).expand(v.shape))
        for i, (key, v) in enumerate(made.items())
    )


LARGE = (
    "vgg16",
    "inception_v3",
    "vgg16_bn",
    "vit_b_16",
    "efficientnet_b4",
    "convnext_tiny",
    "resnet50",
)
EACH = [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in PUBLISHED]


@pytest.mark.slow
@pytest.mark.parametrize(
    "legacy", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["zip", "legacy"]
)
@pytest.mark.parametrize("name", EACH)
def test_published_form_of_every_backbone_is_read(name: str, legacy: bool, tmp_path: Path) -> None:
    content = as_published(name)
    found = read(
        held(tmp_path / f"{name}.pth", content, _use_new_zipfile_serialization=not legacy), name
    )
    assert {key: value.shape for key, value in found.tensors.items()} == {
        k: v.shape for k, v in shapes(name).items()
    }
    for key, value in found.tensors.items():
        expected = 0 if key.endswith(COUNTER) else content[old_name(key)].flatten()[0]
        assert (value.min(), value.max()) == (expected, expected)
    assert (found.used, found.held, found.outputs, found.own_head) == (
        len(content),
        len(content),
        1000,
        True,
    )


def test_published_resnet50_has_as_many_entries_as_the_public_one() -> None:
    assert (len(as_published("resnet50")), len(shapes("resnet50"))) == (267, 320)


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v3_small", "efficientnet_b0", "vgg16_bn", "vit_b_16"]
)
def test_torchvision_loads_the_published_form_to_the_same_names(name: str) -> None:
    # DenseNet's names are changed by torchvision ahead of `load_state_dict`, in a function of its
    # own.
    with torch.device("meta"):
        net = torchvision.models.get_model(name, num_classes=1000, weights=None)
    content = as_published(name)
    net.load_state_dict(content, assign=True)
    modern, _ = candidates.modern(content)
    for key, value in net.state_dict().items():
        assert key.endswith(COUNTER) or torch.equal(value.flatten()[:1], modern[key].flatten()[:1])


# ---------------------------------------------------------------- what does not fit


TIMM = {
    "conv_stem.weight": torch.ones(16, 3, 3, 3),
    "bn1.weight": torch.ones(16),
    "classifier.weight": torch.ones(7, 9),
}
LAST = "features.12.0.weight"
COUNTS = (
    r"expected the state dict of mobilenet_v3_small, got one with {} tensors missing, {} "
    r"unknown and {} of another"
)
MISFITS: dict[str, tuple[Callable[[], Any], str]] = {
    "timm's names": (
        lambda: TIMM,
        COUNTS.format(208, 3, 0)
        + r".*missing: 'features\.0\.0\.weight', .*unknown: 'conv_stem\.weight', 'bn1\.weight'",
    ),
    "one tensor missing": (
        lambda: without(LAST),
        COUNTS.format(1, 0, 0) + r" shape \(missing: 'features\.12\.0\.wei",
    ),
    "a body mostly missing": (
        lambda: without("features.1", "features.2"),
        r"missing: 'features\.1\.block",
    ),
    "a head alone": (lambda: linear(7), COUNTS.format(208, 2, 0)),
    "features without the hidden layer": (
        lambda: without("classifier"),
        r"missing: 'classifier\.0\.weight'",
    ),
    "one channel": (
        lambda: real() | {"features.0.0.weight": torch.ones(16, 1, 3, 3)},
        COUNTS.format(0, 0, 1)
        + r" shape \(of another shape: 'features\.0\.0\.weight 16x1x3x3 for 16x3x3x3'\)",
    ),
    "more inside the body": (
        lambda: real() | {"features.0.0.bias": torch.ones(16)},
        COUNTS.format(0, 1, 0) + r" shape \(unknown: 'features\.0\.0\.bias'\)",
    ),
    "misfit under a prefix": (
        lambda: {"state_dict": under("model.", without(LAST))},
        COUNTS.format(1, 0, 0) + r" shape at 'state_dict/model\.' \(missing: 'features\.12",
    ),
    "halves in two mappings": (
        lambda: {
            "a": without("features.1"),
            "b": {k: v for k, v in real().items() if "features.1" in k},
        },
        "expected the state dict of mobilenet_v3_small, got one with",
    ),
    "another backbone of the table": (
        lambda: {"model": under("module.", as_published("resnet50"))},
        r"It is of resnet50: set backbone=resnet50\.$",
    ),
    "one that contains it": (
        lambda: real() | {"features.13.0.weight": torch.ones(3)},
        COUNTS.format(0, 1, 0),
    ),
    "two copies that differ": (
        lambda: under("first.") | under("second.", other()),
        (
            r"expected one mobilenet_v3_small, got 2 that differ and are named alike \('first\.', "
            r"'second\.'\)\. Save"
        ),
    ),
    "two averages that differ": (
        lambda: {"ema": real(), "swa": other()},
        r"got 2 that differ and are named alike \('ema', 'swa'\)",
    ),
    "two copies of different types": (
        lambda: {"a": real(), "b": as_type(torch.float16)},
        r"got 2 that differ and are named alike \('a', 'b'\)",
    ),
    "with and without module.": (
        lambda: real() | under("module.", other()),
        r"got 2 that differ and are named alike \(the file itself, 'module\.'\)",
    ),
    "NaN": (
        lambda: changed(features__0__0__weight=torch.nan, classifier__3__bias=torch.nan),
        (
            r"expected finite numbers, got NaN or infinity in 'features\.0\.0\.weight', "
            r"'classifier\.3\.bias'\. Nothing"
        ),
    ),
    "infinity in a buffer": (
        lambda: changed(features__0__1__running_mean=-torch.inf),
        r"NaN or infinity in 'features\.0\.1\.running_mean'",
    ),
    "numbers beyond float32": (
        lambda: (
            as_type(torch.float64) | {LAST: torch.full((576, 96, 1, 1), 1e300, dtype=torch.float64)}
        ),
        r"NaN or infinity in 'features\.12\.0\.weight'",
    ),
    "variances below zero": (
        lambda: changed(features__0__1__running_var=-0.1),
        r"expected variances, got numbers below 0 in 'features\.0\.1\.running_var'",
    ),
    "integers": (
        lambda: real() | {LAST: torch.ones(576, 96, 1, 1, dtype=torch.int8)},
        r"expected tensors of float32, .*, got 'features\.12\.0\.weight int8'",
    ),
    "sparse": (
        lambda: real() | {LAST: torch.ones(576, 96, 1, 1).to_sparse()},
        r"got 'features\.12\.0\.weight sparse_coo'",
    ),
    "without numbers": (
        lambda: real() | {LAST: torch.ones(576, 96, 1, 1, device="meta")},
        r"got 'features\.12\.0\.weight without numbers'",
    ),
    "no tensors": (
        lambda: {"epoch": 3, "arch": "x"},
        r"tensors by name, got a mapping without any \('epoch', 'arch'\)",
    ),
    "nothing": (dict, r"tensors by name, got a mapping without any \(empty\)"),
    "a list": (lambda: [1, 2], "tensors by name, got a list"),
    "a tensor": (lambda: torch.ones(3), "tensors by name, got a Tensor"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_is_named_in_one_line(case: str, tmp_path: Path) -> None:
    make, message = MISFITS[case]
    with pytest.raises(ValueError, match=message) as caught:
        read(held(tmp_path / "own.pth", make()))
    assert str(caught.value).startswith("own.pth: expected")
    assert "\n" not in str(caught.value)


def test_zero_variances_are_variances(tmp_path: Path) -> None:
    found = read(held(tmp_path / "own.pth", changed(features__0__1__running_var=0.0)))
    assert found.tensors["features.0.1.running_var"][0] == 0


def test_numbers_of_a_copy_that_is_not_taken_do_not_matter(tmp_path: Path) -> None:
    content = {"state_dict": real(), "state_dict_ema": changed(features__0__0__weight=torch.nan)}
    assert EMA in read(held(tmp_path / "own.pth", content)).undone


def test_mapping_that_holds_itself_ends(tmp_path: Path) -> None:
    content: dict[str, Any] = {"state_dict": real()}
    content["again"] = content
    assert read(held(tmp_path / "own.pth", content)).used == len(real())


def test_names_of_a_file_stay_inside_the_line(tmp_path: Path) -> None:
    content = {f"a\nb{'c' * 500}": torch.ones(1)}
    with pytest.raises(ValueError, match=r"unknown: 'a\\nbccc") as caught:
        read(held(tmp_path / "own.pth", content))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


# ---------------------------------------------------------------- what is no state dict


class Own(nn.Linear):
    """A network of a person's own."""


def saved(content: Any, **how: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **how)
    return buffer.getvalue()


def scripted() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), buffer)
    return buffer.getvalue()


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "x")
    return buffer.getvalue()


LEGACY: dict[str, Any] = {"_use_new_zipfile_serialization": False}
WHOLE = (
    r"a pickled object of [\w.]+\.Own, as whole models are, refused always\. "
    r"Only where you trust it.*"
)
WHOLE += r"weights_only=False\)\.state_dict\(\), 'weights\.pth'\)"
BESIDE = (
    r"a pickle that holds more than tensors \(argparse\.Namespace\), refused "
    r"always.*\['state_dict'\]"
)
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "an empty file"),
    "blank": (lambda: b" \n", "an empty file"),
    "zeros": (lambda: bytes(900), "nothing but zeros"),
    "a web page": (lambda: b"<!DOCTYPE html><html>sign in</html>", "a web page"),
    "a web page with a mark": (lambda: b"\xef\xbb\xbf\n<HTML lang=en>", "a web page"),
    "an answer": (
        lambda: b'{"error": "not found"}',
        r"""a text that begins with '\{"error": "not found"\}'""",
    ),
    "git-lfs": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:2f\n",
        "git-lfs pointer.*git lfs pull",
    ),
    "git-annex": (lambda: b"/annex/objects/SHA256E-s1--2f.pth\n", "git-annex pointer"),
    "Keras": (lambda: b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    "gzip": (lambda: b"\x1f\x8b\x08\x00abc", "a packed archive.*Unpack"),
    "noise": (lambda: b"\x01\xfe\x13\x99" * 99, "bytes of no format that is known"),
    "a broken zip": (lambda: b"PK\x03\x04 broken", "truncated or damaged"),
    "half a file": (lambda: saved(real())[:100_000], "truncated or damaged"),
    "half a legacy file": (
        lambda: saved(real(), **LEGACY)[:100_000],
        r"damaged or truncated file \(unexpected EOF",
    ),
    "the start of a legacy file": (
        lambda: saved(real(), **LEGACY)[:40],
        "damaged or truncated file",
    ),
    "half a safetensors file": (
        lambda: save(real())[:100_000],
        "damaged or truncated safetensors file",
    ),
    "the start of a safetensors file": (
        lambda: save(real())[:30],
        "damaged or truncated safetensors file",
    ),
    "a zip of files": (
        lambda: zipped("weights/own.pth"),
        r"a zip of other files \('own\.pth'\)\. Unpack it",
    ),
    "TorchScript": (
        scripted,
        r"a TorchScript archive.*torch\.save\(torch\.jit\.load\('own\.pth'\)\.state_dict\(\)",
    ),
    "a whole model": (lambda: saved(Own(2, 2)), WHOLE),
    "a whole model, legacy": (lambda: saved(Own(2, 2), **LEGACY), WHOLE),
    "a whole model, protocol 4": (lambda: saved(Own(2, 2), pickle_protocol=4), WHOLE),
    "a whole model inside": (
        lambda: saved({"model": Own(2, 2)}),
        r"holds more than tensors \([\w.]+\.Own\)",
    ),
    "arguments beside": (
        lambda: saved({"state_dict": real(), "args": argparse.Namespace(lr=1)}),
        BESIDE,
    ),
    "arguments beside, legacy": (
        lambda: saved({"state_dict": real(), "args": argparse.Namespace(lr=1)}, **LEGACY),
        BESIDE,
    ),
    "another protocol": (lambda: saved(real(), pickle_protocol=4), "a pickle .*refused always"),
    "a plain pickle": (
        lambda: pickle.dumps({"a": 1}),
        "a pickle that torch.save did not write, refused always",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_file_that_is_no_state_dict_is_named_by_what_it_is(case: str, tmp_path: Path) -> None:
    make, message = REFUSED[case]
    (tmp_path / "own.pth").write_bytes(make())
    with pytest.raises(
        ValueError, match=rf"own\.pth: expected a state dict .*, got .*{message}"
    ) as caught:
        read(tmp_path / "own.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "how", [{}, LEGACY, {"pickle_protocol": 4}], ids=["zip", "legacy", "protocol 4"]
)
@pytest.mark.parametrize("wrapped", [True, False])
def test_pickle_that_runs_code_is_refused_and_does_not_run(
    how: dict[str, Any], wrapped: bool, tmp_path: Path
) -> None:
    class Evil:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return (Path.touch, (tmp_path / "ran",))

    held(tmp_path / "own.pth", {"state_dict": real(), "more": Evil()} if wrapped else Evil(), **how)
    with pytest.raises(ValueError, match=r"own\.pth: expected a state dict .* refused always"):
        read(tmp_path / "own.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_auxiliary_classifier_of_inception_is_read_but_for_its_last_layer(tmp_path: Path) -> None:
    content = inception()
    found = read(held(tmp_path / "inception.pth", content), "inception_v3")
    assert not any(key.startswith("AuxLogits") for key in found.tensors)
    assert found.own_head and found.outputs == 1000
    assert found.auxiliary.keys() == auxiliary.convolutions().keys()
    assert found.auxiliary["conv1.conv.weight"].shape == (768, 128, 5, 5)
    last = ["AuxLogits.fc.weight", "AuxLogits.fc.bias"]
    assert f"left aside 2 tensors ({', '.join(map(repr, last))})" in found.undone
    assert found.used == len(content) - 2
    del content["AuxLogits.conv0.conv.weight"]
    partly = read(held(tmp_path / "partly.pth", content), "inception_v3")
    assert partly.auxiliary == {}
    assert any("AuxLogits.conv0.bn" in said for said in partly.undone)


def inception() -> dict[str, Tensor]:
    """As torchvision publishes it: with its auxiliary classifier, without counters of BatchNorm."""
    with torch.device("meta"):
        whole = torchvision.models.inception_v3(aux_logits=True, init_weights=False)
    return {
        key: torch.zeros(1).expand(value.shape)
        for key, value in whole.state_dict().items()
        if not key.endswith(COUNTER)
    }
