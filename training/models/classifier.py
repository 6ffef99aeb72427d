"""The sign classifier: from the bytes of a crop to logits whose softmax can be believed."""

from typing import Any

import torch
from torch import Tensor, nn

from training.models.backbones import DEFAULT, build_backbone

MODEL_NAME = "sign_classifier"  # in the model registry and on the server, whatever its architecture

# Mean and standard deviation that bring pixel values of 0 to 255 near zero and one.
PIXEL_MEAN = 127.5
PIXEL_STD = 64.0

# Standard deviation, in units of PIXEL_STD, that every crop is taken to have at the least: below is noise.
LEAST_CONTRAST = 4 / PIXEL_STD


class SignClassifier(nn.Module):
    """Classifies square RGB crops of traffic signs.

    Normalisation and calibration are part of the network, so that they travel inside the exported graph.

    Args:
        num_classes: how many classes there are.
        architecture: of the network within, one of `training.models.backbones.architectures()`.
        arguments: of that network.

    Attributes:
        temperature: float32 [], divides the logits in evaluation mode (Guo et al., 2017, arXiv 1706.04599);
            1 until `training.classifier.calibration` has found a better one.
    """

    temperature: Tensor

    def __init__(self, num_classes: int, architecture: str = DEFAULT, **arguments: Any) -> None:
        super().__init__()
        self.backbone = build_backbone(architecture, num_classes, **arguments)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        """Maps images to logits.

        Args:
            images: [n, height, width, 3], RGB, 0 to 255, uint8 or float: as cameras and decoders give them.

        Returns:
            float [n, num_classes]; a softmax makes probabilities of them.
        """
        dtype = next(self.backbone.parameters()).dtype
        x = even_light((images.to(dtype) - PIXEL_MEAN) / PIXEL_STD)
        logits: Tensor = self.backbone(x.permute(0, 3, 1, 2))
        return logits if self.training else logits / self.temperature.to(logits.dtype)


def even_light(x: Tensor) -> Tensor:
    """Gives every crop, float [n, height, width, 3], the same mean and contrast.

    Signs are filmed in the sun and in the dark, and what they say is the same. One mean and one deviation for all three
    colours, so that a red rim stays red. The deviation is taken of values near 1, which half precision can square.
    """
    x = x - x.mean(dim=(1, 2, 3), keepdim=True)
    deviation = x.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return x / (deviation + LEAST_CONTRAST)


def predict_probabilities(model: nn.Module, images: Tensor, batch_size: int = 256) -> Tensor:
    """Runs a classifier over many images, on the device where it is.

    Args:
        model: maps images to logits; it is put into evaluation mode.
        images: uint8 [n, height, width, 3].
        batch_size: how many images go through at once.

    Returns:
        float32 [n, num_classes] on the CPU, rows sum to one.
    """
    return predict_logits(model, images, batch_size).softmax(dim=1)


def predict_logits(model: nn.Module, images: Tensor, batch_size: int = 256) -> Tensor:
    """Runs a classifier over many images; see `predict_probabilities`.

    Returns:
        float32 [n, num_classes] on the CPU.
    """
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode():
        return torch.cat([model(batch.to(device)).float().cpu() for batch in torch.split(images, batch_size)])
