"""A picture gets the answer that the test images got, whatever it comes as."""

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import transferlab
from transferlab.delivery.make import model_of
from transferlab.delivery.model import calibrated, write
from transferlab.delivery.pictures import pixels_of
from transferlab.delivery.predictor import Predictor, Unusable
from transferlab.pipeline.files import read_csv

pytestmark = pytest.mark.slow

CLASSES = ("stripes", "dots", "noise")


def ids(finished: Path) -> list[str]:
    return [row["id"] for row in read_csv(finished / "data/processed/test/manifest.csv")]


def predictor(finished: Path, name: str) -> Predictor:
    return Predictor(model_of(finished, name, 0.01, 50))


@pytest.mark.parametrize("name", ["probe", "finetune", "mlp_head"])
def test_probabilities_are_to_the_bit_those_of_the_predictions_table(
    finished: Path, folder: Path, name: str, restored: None
) -> None:
    torch.set_deterministic_debug_mode("warn")
    asked = predictor(finished, name)
    paths = [folder / id for id in ids(finished)]
    found = [asked.probabilities(pixels) for _, pixels in asked.decoded(paths)]
    rows = [
        row
        for row in read_csv(finished / f"predictions/{name}.csv")
        if row["seed"] == str(asked.facts.seed)
    ]
    expected = [[row[f"p_{label}"] for label in CLASSES] for row in rows]
    assert [[f"{p:.9g}" for p in chances] for chances in np.concatenate(found)] == expected
    assert [answer.label for answer in asked(paths)] == [row["predicted"] for row in rows]


def test_an_answer_is_calibrated_and_unsure_below_the_threshold(
    finished: Path, folder: Path
) -> None:
    asked = predictor(finished, "finetune")
    path = folder / ids(finished)[0]
    ((_, pixels),) = asked.decoded([path])
    chances = asked.probabilities(pixels)
    (answer,) = asked(path)
    expected = calibrated(chances, asked.facts.temperature)[0]
    assert answer.name == str(path)
    assert list(answer.probabilities.values()) == sorted(expected.tolist(), reverse=True)
    assert answer.probability == answer.probabilities[answer.label] == expected.max()
    (given,) = asked.facts.unsure.gives(np.array([answer.probability]))
    assert answer.unsure is not given


def test_paths_pil_images_and_arrays_get_the_same_answers(finished: Path, folder: Path) -> None:
    asked = predictor(finished, "probe")
    paths = [folder / id for id in ids(finished)[:3]]
    images = [Image.open(path) for path in paths]
    arrays = [np.asarray(image) for image in images]
    answers = asked(paths)
    for others in (images, arrays, np.stack(arrays), map(str, paths)):
        assert [found.probabilities for found in asked(others)] == [
            found.probabilities for found in answers
        ]
    for one in (str(paths[0]), paths[0], paths[0].read_bytes(), images[0], arrays[0]):
        (found,) = asked(one)
        assert found.probabilities == answers[0].probabilities
    assert [found.name for found in asked(arrays)] == ["image 1", "image 2", "image 3"]


def test_a_rotated_photograph_is_turned_and_the_callers_image_is_not(
    finished: Path, folder: Path
) -> None:
    asked = predictor(finished, "probe")
    upright = Image.open(folder / ids(finished)[0])
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees
    file = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif)
    turned = Image.open(file)
    before = turned.tobytes()
    assert asked(turned)[0].probabilities == asked(upright)[0].probabilities
    assert turned.tobytes() == before
    assert turned.getexif()[0x0112] == 6


def test_what_cannot_be_used_is_named_and_the_rest_is_answered(
    finished: Path, folder: Path, tmp_path: Path
) -> None:
    asked = predictor(finished, "probe")
    good = folder / ids(finished)[0]
    broken = tmp_path / "broken.png"
    broken.write_bytes(good.read_bytes()[:200])
    odd = np.zeros((4, 4, 4), np.uint8)
    grey = Image.new("F", (4, 4), 0.5)  # of 0 to 1, where others go to 255
    with pytest.raises(ValueError, match=r"^image 1: is an array of uint8 \[4, 4, 4\], expected"):
        asked(odd)
    found = list(asked.each([good, broken, tmp_path, tmp_path / "none.png", odd, 7, grey, good]))
    reasons = {one.name: one.reason for one in found if isinstance(one, Unusable)}
    assert [isinstance(one, Unusable) for one in found] == [False, *[True] * 6, False]
    assert reasons.pop(str(broken)).startswith("does not decode (")
    assert reasons == {
        str(tmp_path): "is a folder",
        str(tmp_path / "none.png"): "is no file",
        "image 5": "is an array of uint8 [4, 4, 4], expected uint8 [H, W, 3] or [H, W]",
        "image 6": "is a int, expected a path, bytes of a file, a PIL image or an array of uint8",
        "image 7": "is of mode 'F', which does not say which value is white; give 8 bits",
    }
    with pytest.raises(ValueError, match=r"broken\.png: does not decode"):
        asked([good, broken])


def test_more_pictures_than_a_batch_keep_their_order(finished: Path, folder: Path) -> None:
    asked = predictor(finished, "probe")
    paths = [folder / id for id in ids(finished)] * 9
    answers = asked(paths)
    assert [answer.name for answer in answers] == [str(path) for path in paths]
    assert [answer.label for answer in answers[:9]] * 9 == [answer.label for answer in answers]


def test_no_pictures_get_no_answers(finished: Path) -> None:
    assert predictor(finished, "probe")([]) == []


def test_the_package_gives_the_predictor(finished: Path, folder: Path, tmp_path: Path) -> None:
    write(model_of(finished, "probe", 0.01, 50), tmp_path / "model.safetensors")
    asked = transferlab.Predictor.load(tmp_path / "model.safetensors")
    assert asked(folder / ids(finished)[0])[0].label in CLASSES


def test_devices_that_are_not_there_are_refused(finished: Path) -> None:
    model = model_of(finished, "probe", 0.01, 50)
    with pytest.raises(ValueError, match="on: expected auto, cpu or cuda, got 'tpu'"):
        Predictor(model, "tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="on: expected a CUDA device, torch found none"):
            Predictor(model, "cuda")


def test_grey_of_16_bits_has_the_contrast_of_the_training_images(
    finished: Path, tmp_path: Path
) -> None:
    made = model_of(finished, "probe", 0.01, 50)
    assert made.facts.pictures.contrast == (0, 65535)
    how = replace(made.facts.pictures, contrast=(1000, 3000))
    values = np.full((40, 40), 2000, dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "grey.tif")
    for picture in (tmp_path / "grey.tif", Image.fromarray(values)):
        assert np.all(pixels_of(picture, how) == 128)


@pytest.mark.parametrize(
    "modules",
    ["commands.predict, delivery.predictor, delivery.answers", "commands.export, delivery.card"],
)
def test_asking_and_exporting_import_no_package_that_they_do_not_use(modules: str) -> None:
    """Each of these takes a second or more, before the first answer."""
    heavy = {"captum", "dvc", "hydra", "matplotlib", "mlflow", "onnx", "pandas", "scipy", "sklearn"}
    check = "\n".join(
        [
            "import sys",
            *(f"import transferlab.{module.strip()}" for module in modules.split(",")),
            f"found = {heavy!r} & sys.modules.keys()",
            "assert not found, found",
        ]
    )
    source = Path(transferlab.__file__).parents[1]
    subprocess.run([sys.executable, "-c", check], env={"PYTHONPATH": str(source)}, check=True)
