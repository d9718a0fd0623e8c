"""The published architectures in PyTorch, written from their descriptions for comparison with the Keras models."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalised(images: torch.Tensor) -> torch.Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) as torchvision's ToTensor and Normalize make it."""
    scaled = images.permute(0, 3, 1, 2).float() / 255
    return (scaled - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(DEVIATION).view(1, 3, 1, 1)


def randomised(model: nn.Module, seed: int) -> nn.Module:
    """Random weights that keep signals in range, and normalisations far from doing nothing; in inference mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)):
            module.weight.data.uniform_(0.6, 1.4, generator=generator)
            module.bias.data.normal_(0, 0.3, generator=generator)
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
            module.num_batches_tracked.fill_(1234)
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            fan_in = module.weight[0].numel()
            module.weight.data.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
            if module.bias is not None:
                module.bias.data.normal_(0, 0.2, generator=generator)
    return model.eval()


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False), nn.Sigmoid()
        )

    def forward(self, x):
        return x * self.fc(x.mean(dim=(2, 3)))[:, :, None, None]


class ResidualBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=2), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


class ResEmoteNet(nn.Module):
    """`divisor` 1 is the teacher, 2, 4, 8 are the students A, B, C, whose squeezes are 8, 4 and 32 wide."""

    def __init__(self, divisor: int = 1, classes: int = 7, hidden: int = 16):
        super().__init__()
        widths = [width // divisor for width in (64, 128, 256, 512, 1024, 2048)]
        for index, (inputs, outputs) in enumerate(pairwise((3, *widths[:3])), start=1):
            self.add_module(f"conv{index}", nn.Conv2d(inputs, outputs, 3, padding=1))
            self.add_module(f"bn{index}", nn.BatchNorm2d(outputs))
        self.se = SqueezeExcite(widths[2], hidden)
        for index, (inputs, outputs) in enumerate(pairwise(widths[2:]), start=1):
            self.add_module(f"res_block{index}", ResidualBlock(inputs, outputs))
        dense = (widths[5], 1024 // divisor, 512 // divisor, 256 // divisor, classes)
        for index, (inputs, outputs) in enumerate(pairwise(dense), start=1):
            self.add_module(f"fc{index}", nn.Linear(inputs, outputs))

    def feature_maps(self, x) -> list[torch.Tensor]:
        """After each of the three first stages, the squeeze and excitation, and each residual block."""
        maps = []
        for index in (1, 2, 3):
            x = torch.relu(getattr(self, f"bn{index}")(getattr(self, f"conv{index}")(x)))
            x = nn.functional.max_pool2d(x, 2)
            maps.append(x)
        maps.append(self.se(x))
        for block in (self.res_block1, self.res_block2, self.res_block3):
            maps.append(block(maps[-1]))
        return maps

    def forward(self, x):
        x = self.feature_maps(x)[-1].mean(dim=(2, 3))
        for layer in (self.fc1, self.fc2, self.fc3):
            x = torch.relu(layer(x))
        return self.fc4(x)
