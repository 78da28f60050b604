"""The head finder's network made ready to run, which takes a tenth off its time: norms multiplied into the convolutions before them, weights laid out once.

Sums differ from those of the network as it was trained in the sixth digit, so it is used only under a setting that is part of the crops' name.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resight.segment.learned.network import HeadNet, Residual, Up


def quickened(net: HeadNet) -> HeadNet:
    """``net``, ready to run on the CPU and not to be trained any more; it is changed."""
    parts: dict[str, Any] = dict(net.named_children())
    for name in ("at_4", "at_8", "at_16", "at_32"):
        layers = (_QuickResidual(part) if isinstance(part, Residual) else _Conv.of(part) for part in parts[name])
        setattr(net, name, nn.Sequential(*layers))
    for name in ("up_16", "up_8", "up_4"):
        setattr(net, name, _QuickUp(parts[name]))
    setattr(net, "maps", _Conv(parts["maps"]))  # noqa: B010 - another class than the one that is trained
    return net


class _Conv(nn.Module):
    """A convolution (``nn.Conv2d``) with what may follow it, in one step where torch has oneDNN: a norm (``nn.BatchNorm2d``), something to add, a ReLU."""

    def __init__(self, conv: Any, norm: Any = None, relu: bool = False) -> None:
        super().__init__()
        weight, bias = _with_norm(conv, norm)
        self.where = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self.relu = relu
        self.onednn: Any = torch.ops.mkldnn if torch.backends.mkldnn.is_available() else None
        laid_out = weight.contiguous(memory_format=torch.channels_last)
        self.weight = self.onednn._reorder_convolution_weight(laid_out, *self.where) if self.onednn else laid_out
        self.bias = bias

    @classmethod
    def of(cls, layers: nn.Sequential) -> _Conv:
        """Of a convolution, a norm and, if it is there, a ReLU."""
        conv, norm, *relu = layers
        return cls(conv, norm, bool(relu))

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        then = "relu" if self.relu else "none"
        if self.onednn and added is not None:
            out: Tensor = self.onednn._convolution_pointwise.binary(
                x, added, self.weight, self.bias, *self.where, "add", 1.0, then, [], None
            )
        elif self.onednn:
            out = self.onednn._convolution_pointwise(x, self.weight, self.bias, *self.where, then, [], None)
        else:
            padding, stride, dilation, groups = self.where
            out = F.conv2d(x, self.weight, self.bias, stride, padding, dilation, groups)
            out = out if added is None else out.add_(added)
            out = out.relu_() if self.relu else out
        return out


class _QuickResidual(nn.Module):
    def __init__(self, layer: Residual) -> None:
        super().__init__()
        conv, norm = layer.second
        self.first, self.second = _Conv.of(layer.first), _Conv(conv, norm, relu=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x), x)
        return out


class _QuickUp(nn.Module):
    def __init__(self, up: Up) -> None:
        super().__init__()
        self.coarse, self.fine, self.mix = _Conv(up.coarse), _Conv(up.fine, relu=True), _Conv.of(up.mix)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        grown = F.interpolate(self.coarse(coarse), scale_factor=2.0, mode="nearest")
        out: Tensor = self.mix(self.fine(fine, grown))
        return out


@torch.no_grad()
def _with_norm(conv: Any, norm: Any) -> tuple[Tensor, Tensor | None]:
    """The convolution's weight and bias with the norm behind it multiplied in, in double precision."""
    if norm is None:
        return conv.weight.detach(), None if conv.bias is None else conv.bias.detach()
    weight, bias = nn.utils.fusion.fuse_conv_bn_weights(
        conv.weight.double(), None, norm.running_mean.double(), norm.running_var.double(), norm.eps, norm.weight.double(), norm.bias.double()
    )  # fmt: skip
    return weight.detach().float(), bias.detach().float()
