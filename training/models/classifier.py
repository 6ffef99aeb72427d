"""The sign classifier: maps crops to calibrated logits."""

from typing import Any

import torch
from torch import Tensor, nn

from training.models.backbones import DEFAULT, build_backbone

MODEL_NAME = "sign_classifier"  # in the model registry and on the server, for every architecture

# Mean and standard deviation that normalise pixel values of 0 to 255.
PIXEL_MEAN = 127.5
PIXEL_STD = 64.0

# Lower limit of a crop's standard deviation, in units of PIXEL_STD; less contrast is noise.
LEAST_CONTRAST = 4 / PIXEL_STD


class SignClassifier(nn.Module):
    """Classifies square RGB crops of traffic signs.

    Normalisation and calibration are part of the network and therefore of the exported graph.
    """

    # Divides the logits in evaluation mode, float32 [] (Guo et al., 2017, arXiv 1706.04599); 1 before calibration.
    temperature: Tensor

    def __init__(self, num_classes: int, architecture: str = DEFAULT, **arguments: Any) -> None:
        super().__init__()
        self.backbone = build_backbone(architecture, num_classes, **arguments)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        """Maps images [n, height, width, 3], RGB, 0 to 255, uint8 or float, to logits, float [n, num_classes]."""
        dtype = next(self.backbone.parameters()).dtype
        x = even_light((images.to(dtype) - PIXEL_MEAN) / PIXEL_STD)
        logits: Tensor = self.backbone(x.permute(0, 3, 1, 2))
        return logits if self.training else logits / self.temperature.to(logits.dtype)


def even_light(x: Tensor) -> Tensor:
    """Normalises every crop, float [n, height, width, 3], to the same mean and contrast.

    This removes differences of light. The three colours share one mean and one standard deviation, so that red stays
    red. The deviation is computed of values near 1, whose squares fit half precision.
    """
    x = x - x.mean(dim=(1, 2, 3), keepdim=True)
    deviation = x.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return x / (deviation + LEAST_CONTRAST)


def predict_logits(model: nn.Module, images: Tensor, batch_size: int = 256) -> Tensor:
    """Runs a classifier over many images, on the device where it is.

    The images are uint8 [n, height, width, 3]; the network is set to evaluation mode. Returns float32 [n, num_classes]
    on the CPU; softmax turns them into probabilities.
    """
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode():
        return torch.cat([model(batch.to(device)).float().cpu() for batch in torch.split(images, batch_size)])
