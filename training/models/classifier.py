"""The sign classifier: a small residual network (He et al., 2016, arXiv 1512.03385)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Mean and standard deviation that bring pixel values of 0 to 255 near zero and one. Signs are filmed in every
# light, so per-channel statistics of one data set would only tie the network to it.
PIXEL_MEAN = 127.5
PIXEL_STD = 64.0


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; halves the resolution where the width changes."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        stride = 1 if in_channels == out_channels else 2
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride == 2:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, in, h, w] to [n, out, h / stride, w / stride]."""
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


class SignClassifier(nn.Module):
    """Classifies square RGB crops of traffic signs.

    Args:
        num_classes: how many classes there are.
        widths: channels of each stage; each stage after the first halves the resolution.
        dropout: share of the pooled features to drop while training.
    """

    def __init__(self, num_classes: int, widths: tuple[int, ...] = (32, 64, 128), dropout: float = 0.2) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        stages = zip((widths[0], *widths), widths, strict=False)
        self.blocks = nn.Sequential(*(ResidualBlock(before, after) for before, after in stages))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images to logits.

        Args:
            images: [n, height, width, 3], RGB, 0 to 255, uint8 or float: as cameras and decoders give them.

        Returns:
            float [n, num_classes]; a softmax makes probabilities of them.
        """
        x = (images.to(self.head.weight.dtype) - PIXEL_MEAN) / PIXEL_STD
        x = self.blocks(self.stem(x.permute(0, 3, 1, 2)))
        logits: Tensor = self.head(self.dropout(x.mean(dim=(2, 3))))
        return logits


def predict_probabilities(model: nn.Module, images: Tensor, batch_size: int = 256) -> Tensor:
    """Runs a classifier over many images.

    Args:
        model: maps images to logits; it is put into evaluation mode.
        images: uint8 [n, height, width, 3].
        batch_size: how many images go through at once.

    Returns:
        float32 [n, num_classes], rows sum to one.
    """
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(batch).softmax(dim=1).float() for batch in torch.split(images, batch_size)])
