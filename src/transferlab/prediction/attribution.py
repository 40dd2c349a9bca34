"""Where in an image a network saw the class that it predicts.

Grad-CAM (Selvaraju et al. 2017), as captum has it.
"""

import numpy as np
import torch
from torch import Tensor, nn

from ..network.device import Compute
from ..network.views import Views

CHUNK = 16  # images at once: captum keeps the whole graph of a pass


def maps(net: nn.Sequential, views: Views, rows: np.ndarray, place: Compute) -> np.ndarray:
    """Attribution to the last maps before they are pooled, for the test view of some images.

    Args:
        net: All parts, in eval mode.
        views: The images.
        rows: Those that are looked at, [n].
        place: Where the arithmetic runs; in fp32, whatever it says of precision.

    Returns:
        float32 [n, h, w] in 0 to 1, the largest value of each image being 1 (0 where nothing spoke
        for the class). No rows for a network that has no maps before the pooling, such as a vision
        transformer.
    """
    from captum.attr import LayerGradCam

    layer = last_maps(net, _pixels(views, [0], place))
    if layer is None:
        return np.zeros((0, 1, 1), dtype=np.float32)
    gradcam, found = LayerGradCam(net, layer), []
    for some in np.split(rows, range(CHUNK, len(rows), CHUNK)):
        pixels = _pixels(views, some.tolist(), place)
        with torch.no_grad():
            predicted = net(pixels).argmax(1)
        found.append(gradcam.attribute(pixels, predicted, relu_attributions=True).detach()[:, 0])
    whole = torch.cat(found)
    largest = whole.amax((1, 2), keepdim=True)
    out: np.ndarray = torch.where(largest > 0, whole / largest, 0.0).cpu().numpy()
    return out


@torch.no_grad()
def last_maps(net: nn.Sequential, pixels: Tensor) -> nn.Module | None:
    """The last module of the last stage that gives maps [B, C, h, w] of more than one place."""
    stage = net.get_submodule("stage4")
    values, found = net[:4](pixels), None
    for module in stage.children():
        values = module(values)
        if values.dim() == 4 and values.shape[2] * values.shape[3] > 1:
            found = module
    return found


def _pixels(views: Views, rows: list[int], place: Compute) -> Tensor:
    pixels = views.finish(views.crops(rows, None), rows, None, place.device)
    return pixels.contiguous(memory_format=place.layout)
