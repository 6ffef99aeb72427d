"""A sign classifier that has learned its crops by construction, without training.

An untrained network answers all crops nearly alike, and the kernels of another CPU order its near ties otherwise. Here
the classes are eight logits apart: every precision keeps them on every CPU, and a precision that breaks the network
does not.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tests.training.tiny_gtsdb import COLOURS
from traffic_signs.classes import NUM_CLASSES
from training.models.classifier import SignClassifier

LOGIT = 8.0  # of the right class; that of all others is 0
MISTAKEN = {12: 13}  # yellow signs, so that there are mistakes to count and to draw


def taught_classifier(crops: npt.NDArray[np.uint8]) -> SignClassifier:
    """Returns a classifier that names crop `i` of `crops`, uint8 [n, 48, 48, 3], class `i % 43`.

    It also knows the signs of `tests.training.tiny_gtsdb`, and surely takes some of them for others (`MISTAKEN`). Its
    features are random; their normalisation is measured on these images, and the last layer is solved for.
    """
    images = torch.from_numpy(np.concatenate([crops, _tiny_signs()]))
    colours = [MISTAKEN.get(class_id, class_id) for class_id in COLOURS]
    labels = torch.tensor([*(number % NUM_CLASSES for number in range(len(crops))), *colours])
    torch.manual_seed(1)
    model = SignClassifier(NUM_CLASSES)
    head = model.get_submodule("backbone.head")
    assert isinstance(head, nn.Linear)
    inputs: list[torch.Tensor] = []
    hook = head.register_forward_hook(lambda _layer, given, _answer: inputs.append(given[0].double()))
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0  # the statistics of these images, in place of a running mean
        model.train()(images)
        model.eval()(images)
        hook.remove()
        features = nn.functional.pad(inputs[-1], (0, 1), value=1.0)  # the last column is the bias
        products = features @ features.T
        ridge = 1e-3 * products.diagonal().mean() * torch.eye(len(products), dtype=products.dtype)
        wanted = LOGIT * nn.functional.one_hot(labels, NUM_CLASSES).double()
        solution = features.T @ torch.linalg.solve(products + ridge, wanted)
        head.weight.copy_(solution[:-1].T)
        head.bias.copy_(solution[-1])
    return model


def _tiny_signs() -> npt.NDArray[np.uint8]:
    """Draws one sign of each colour as a crop of a scene shows it: a square with some street around it."""
    crops = np.random.default_rng(1).integers(90, 150, (len(COLOURS), 48, 48, 3), dtype=np.uint8)
    for crop, colour in zip(crops, COLOURS.values(), strict=True):
        crop[4:44, 4:44] = colour
    return crops
