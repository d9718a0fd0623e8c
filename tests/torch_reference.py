"""The published architectures in PyTorch, written from their descriptions for comparison with the
Keras models.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalised(images: torch.Tensor) -> torch.Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) as torchvision's ToTensor and Normalize make
    it.
    """
    scaled = images.permute(0, 3, 1, 2).float() / 255
    return (scaled - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(DEVIATION).view(1, 3, 1, 1)


def randomised(model: nn.Module, seed: int) -> nn.Module:
    """Random weights that keep signals in range, and normalisations far from doing nothing; in
    inference mode.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "layer_scale" in name or "attention_biases" in name:
            parameter.data.uniform_(0.2, 0.8, generator=generator)
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
            nn.Linear(channels, hidden, bias=False),
            nn.ReLU(),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
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
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride=2), nn.BatchNorm2d(outputs)
        )

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


class ResEmoteNet(nn.Module):
    """`divisor` 1 is the teacher, 2, 4, 8 are the students A, B, C, whose squeezes are 8, 4 and 32
    wide.
    """

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
        """After each of the three first stages, the squeeze and excitation, and each residual
        block.
        """
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


class EmoBlock(nn.Module):
    """Three convolutions in a row, all kept, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        for index, (taken, given) in enumerate(
            [(inputs, outputs // 2), (outputs // 2, outputs // 4), (outputs // 4, outputs // 4)],
            start=1,
        ):
            self.add_module(f"bn{index}", nn.BatchNorm2d(taken))
            self.add_module(f"conv{index}", nn.Conv2d(taken, given, 3, padding=1, bias=False))
        self.downsample = None
        if inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)
            self.downsample = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), shortcut)

    def forward(self, x):
        first = self.conv1(torch.relu(self.bn1(x)))
        second = self.conv2(torch.relu(self.bn2(first)))
        third = self.conv3(torch.relu(self.bn3(second)))
        return torch.cat([first, second, third], dim=1) + (
            x if self.downsample is None else self.downsample(x)
        )


class Hourglass(nn.Module):
    def __init__(self, depth: int = 4, width: int = 256):
        super().__init__()
        self.depth = depth
        for level in range(1, depth + 1):
            for branch in ("b1", "b2", "b3"):
                self.add_module(f"{branch}_{level}", EmoBlock(width, width))
        self.b2_plus_1 = EmoBlock(width, width)

    def forward(self, x, level=None):
        level = level or self.depth
        low = getattr(self, f"b2_{level}")(nn.functional.max_pool2d(x, 2))
        low = self.forward(low, level - 1) if level > 1 else self.b2_plus_1(low)
        low = nn.functional.interpolate(
            getattr(self, f"b3_{level}")(low), scale_factor=2, mode="nearest"
        )
        return getattr(self, f"b1_{level}")(x) + low


class EmoNet(nn.Module):
    def __init__(self, classes: int = 8):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, stride=2, padding=3), nn.BatchNorm2d(64)
        self.conv2, self.conv3, self.conv4 = (
            EmoBlock(64, 128),
            EmoBlock(128, 128),
            EmoBlock(128, 256),
        )
        for stack in (0, 1):
            self.add_module(f"m{stack}", Hourglass())
            self.add_module(f"top_m_{stack}", EmoBlock(256, 256))
            self.add_module(f"conv_last{stack}", nn.Conv2d(256, 256, 1))
            self.add_module(f"bn_end{stack}", nn.BatchNorm2d(256))
            self.add_module(f"l{stack}", nn.Conv2d(256, 68, 1))
        self.bl0, self.al0 = nn.Conv2d(256, 256, 1), nn.Conv2d(68, 256, 1)
        self.conv1x1_input_emo_2 = nn.Conv2d(768, 256, 1)
        pairs = [(EmoBlock(256, 256), nn.MaxPool2d(2)) for _ in range(4)]
        self.emo_net_2 = nn.Sequential(*(layer for pair in pairs for layer in pair))
        self.emo_fc_2 = nn.Sequential(
            nn.Linear(256, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, classes + 2)
        )

    def forward(self, x):
        """float (N, 3, 256, 256) in 0..1 -> logits, valence (N,), arousal (N,), heatmaps (N, 68,
        64, 64).
        """
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.conv4(self.conv3(nn.functional.max_pool2d(self.conv2(x), 2)))
        stacked, features = x, []
        for stack in (0, 1):
            part = {
                name: getattr(self, f"{name}{stack}")
                for name in ("m", "top_m_", "conv_last", "bn_end", "l")
            }
            ll = torch.relu(part["bn_end"](part["conv_last"](part["top_m_"](part["m"](stacked)))))
            heatmaps = part["l"](ll)
            if stack == 0:
                ll = self.bl0(ll)
                stacked = x + ll + self.al0(heatmaps)
            features.append(ll)
        mask = heatmaps.sum(dim=1, keepdim=True)
        y = self.conv1x1_input_emo_2(torch.cat([x, torch.cat(features, dim=1) * mask], dim=1))
        y = self.emo_fc_2(self.emo_net_2(y).mean(dim=(2, 3)))
        return y[:, :-2], y[:, -2], y[:, -1], heatmaps


class PoolingBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.mlp = nn.ModuleDict(
            {
                "fc1": nn.Conv2d(width, 4 * width, 1),
                "norm1": nn.BatchNorm2d(4 * width),
                "fc2": nn.Conv2d(4 * width, width, 1),
                "norm2": nn.BatchNorm2d(width),
            }
        )
        self.layer_scale_1 = nn.Parameter(torch.full((width,), 1e-5))
        self.layer_scale_2 = nn.Parameter(torch.full((width,), 1e-5))

    def forward(self, x):
        pooled = nn.functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        x = x + self.layer_scale_1[:, None, None] * (pooled - x)
        y = nn.functional.gelu(self.mlp["norm1"](self.mlp["fc1"](x)))
        return x + self.layer_scale_2[:, None, None] * self.mlp["norm2"](self.mlp["fc2"](y))


class SelfAttention(nn.Module):
    def __init__(
        self, width: int, rows: int, columns: int, heads: int = 8, key: int = 32, value: int = 128
    ):
        super().__init__()
        self.heads, self.key, self.value = heads, key, value
        self.qkv, self.proj = (
            nn.Linear(width, heads * (2 * key + value)),
            nn.Linear(heads * value, width),
        )
        self.attention_biases = nn.Parameter(torch.zeros(heads, rows * columns))
        places = [(row, column) for row in range(rows) for column in range(columns)]
        distances = [[abs(a - c) * columns + abs(b - d) for c, d in places] for a, b in places]
        self.register_buffer("attention_bias_idxs", torch.tensor(distances))

    def forward(self, x):
        count, tokens, _ = x.shape
        mixed = torch.zeros(count, tokens, self.heads, self.value)
        each = self.qkv(x).view(count, tokens, self.heads, 2 * self.key + self.value)
        for head in range(self.heads):
            query, key, value = each[:, :, head].split([self.key, self.key, self.value], dim=-1)
            scores = query @ key.transpose(1, 2) / self.key**0.5
            scores = scores + self.attention_biases[head][self.attention_bias_idxs]
            mixed[:, :, head] = scores.softmax(dim=-1) @ value
        return self.proj(mixed.flatten(2))


class AttentionBlock(nn.Module):
    def __init__(self, width: int, rows: int, columns: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.token_mixer = SelfAttention(width, rows, columns)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )
        self.layer_scale_1 = nn.Parameter(torch.full((width,), 1e-5))
        self.layer_scale_2 = nn.Parameter(torch.full((width,), 1e-5))

    def forward(self, x):
        x = x + self.layer_scale_1 * self.token_mixer(self.norm1(x))
        return x + self.layer_scale_2 * self.mlp["fc2"](
            nn.functional.gelu(self.mlp["fc1"](self.norm2(x)))
        )


class Flattened(nn.Module):
    def forward(self, x):
        return x.flatten(2).transpose(1, 2)


class Reduction(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.proj, self.norm = (
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x):
        return self.norm(self.proj(x))


class EfficientFormer(nn.Module):
    """L1 by default; `rows` and `columns` of the last stage's map are the image's sides / 32."""

    def __init__(
        self,
        widths=(48, 96, 224, 448),
        depths=(3, 2, 6, 4),
        attention=1,
        classes=1000,
        rows=7,
        columns=7,
    ):
        super().__init__()
        first = widths[0]
        self.patch_embed = nn.Sequential(
            nn.Conv2d(3, first // 2, 3, stride=2, padding=1),
            nn.BatchNorm2d(first // 2),
            nn.ReLU(),
            nn.Conv2d(first // 2, first, 3, stride=2, padding=1),
            nn.BatchNorm2d(first),
            nn.ReLU(),
        )
        self.network = nn.ModuleList()
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            blocks = [PoolingBlock(width) for _ in range(depth - (attention if stage == 3 else 0))]
            if stage == 3:
                blocks += [
                    Flattened(),
                    *(AttentionBlock(width, rows, columns) for _ in range(attention)),
                ]
            self.network.append(nn.Sequential(*blocks))
            if stage < 3:
                self.network.append(Reduction(width, widths[stage + 1]))
        self.norm = nn.LayerNorm(widths[-1])
        self.head, self.dist_head = nn.Linear(widths[-1], classes), nn.Linear(widths[-1], classes)

    def forward(self, x):
        x = self.patch_embed(x)
        for part in self.network:
            x = part(x)
        x = self.norm(x).mean(dim=1)
        return (self.head(x) + self.dist_head(x)) / 2
