"""PyTorch's side of the ResNet34-UNet: segmentation_models.pytorch's Unet("resnet34") with any number of base channels,
with its names, written from its layout (torchvision's resnet34, Unet's decoder, nearest upsampling)."""

import torch
import torch.nn.functional as F
from torch import nn


class BasicBlock(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + shortcut)


class ResNet34(nn.Module):
    """-> the stem and the four layers' outputs. classes: also the classifier, which a file of torchvision's has."""

    def __init__(self, channels=3, base=64, classes=None):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, base, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        cin = base
        for i, blocks in enumerate((3, 4, 6, 3)):
            cout = base << i
            layer = [BasicBlock(cin if b == 0 else cout, cout, 2 if i > 0 and b == 0 else 1) for b in range(blocks)]
            setattr(self, f"layer{i + 1}", nn.Sequential(*layer))
            cin = cout
        if classes is not None:
            self.fc = nn.Linear(cin, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        stem = F.relu(self.bn1(self.conv1(x)))
        features = [stem]
        x = F.max_pool2d(stem, 3, 2, 1)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            features.append(x)
        return features


class DecoderBlock(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        def conv(channels):
            return nn.Sequential(nn.Conv2d(channels, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU())
        self.conv1 = conv(cin)
        self.conv2 = conv(cout)

    def forward(self, x, skip):
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        return self.conv2(self.conv1(x if skip is None else torch.cat([x, skip], dim=1)))


class Decoder(nn.Module):
    def __init__(self, base):
        super().__init__()
        skips = (4 * base, 2 * base, base, base, 0)
        outs = [4 * base >> i for i in range(5)]
        ins = [8 * base] + outs[:-1]
        self.blocks = nn.ModuleList(DecoderBlock(i + s, o) for i, s, o in zip(ins, skips, outs))

    def forward(self, features):
        x = features[-1]
        for block, skip in zip(self.blocks, features[-2::-1] + [None]):
            x = block(x, skip)
        return x


class ResNet34UNet(nn.Module):
    """x [N,channels,H,W] -> logits [N,classes,H,W]; padded with zeros to multiples of 32 inside."""

    def __init__(self, channels=3, classes=2, base=64):
        super().__init__()
        self.encoder = ResNet34(channels, base)
        self.decoder = Decoder(base)
        self.segmentation_head = nn.Sequential(nn.Conv2d(base // 4, classes, 3, padding=1))
        for module in self.decoder.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, mode="fan_in", nonlinearity="relu")
        nn.init.xavier_uniform_(self.segmentation_head[0].weight)
        nn.init.zeros_(self.segmentation_head[0].bias)

    def forward(self, x):
        height, width = x.shape[2:]
        x = F.pad(x, (0, -width % 32, 0, -height % 32))
        return self.segmentation_head(self.decoder(self.encoder(x)))[:, :, :height, :width]
