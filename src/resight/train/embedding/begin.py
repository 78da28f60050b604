"""Where the last layer and the centres begin: at the directions that tell the training animals apart before any step."""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import eigh
from torch import Tensor

from resight.embed.network import EmbeddingNet
from resight.train.embedding.samples import Classes
from resight.train.pixels import to_tensor

SHRINK = 0.3
SPREAD = 0.5  # root mean square of what a step of Adam changes: lengths are free, as cosines alone count
BATCH = 64


def discriminants(features: np.ndarray, classes: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Linear discriminants (Fisher, 1936; Rao, 1948), with the scatter within the classes shrunk towards a sphere.

    Args:
        features: (N, F).
        classes: (N,) from 0 on, each with a picture at least.
        dim: How many; those beyond the number of classes less one tell nothing apart.

    Returns:
        (dim, F) weight and (dim,) bias of a layer that makes of the features what has mean 0, and variance 1 within a class.
    """
    count = np.bincount(classes).astype(np.float64)
    means = np.zeros((len(count), features.shape[1]))
    np.add.at(means, classes, features)
    means /= count[:, None]
    centre = features.mean(axis=0)
    apart = features - means[classes]
    within = apart.T @ apart / max(1, len(features) - len(count))
    sphere = max(float(np.trace(within)) / len(within), 1e-9)
    within = (1 - SHRINK) * within + SHRINK * sphere * np.eye(len(within))
    away = (means - centre) * np.sqrt(count / count.sum())[:, None]
    n = len(within)
    _, directions = eigh(away.T @ away, within, subset_by_index=[n - dim, n - 1])
    weight = directions.T[::-1]
    return weight, -weight @ centre


@torch.no_grad()
def begin_at(
    net: EmbeddingNet, centres: Tensor, classes: Classes, side_px: int, device: str, *, has_head: bool = False
) -> None:
    """Set the last layer to the discriminants of all training crops, unless it ``has_head`` already, and each centre to the mean direction of its class.

    Centres at random would first undo what the weights have learned.
    """
    parts = []
    for start in range(0, len(classes.samples), BATCH):
        rgb = np.stack([classes.plain(i, side_px) for i in range(start, min(start + BATCH, len(classes.samples)))])
        parts.append(net.features(to_tensor(rgb, device)).cpu().numpy().astype(np.float64))
    features = np.concatenate(parts)
    if has_head:
        weight, bias = (p.cpu().numpy().astype(np.float64) for p in (net.head.weight, net.head.bias))
    else:
        weight, bias = discriminants(features, classes.of, net.head.out_features)
    vectors = features @ weight.T + bias
    means = np.zeros(tuple(centres.shape))
    np.add.at(means, classes.of, vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
    if not has_head:
        factor = SPREAD / np.sqrt((weight**2).mean())
        _fill(net.head.weight, weight * factor)
        _fill(net.head.bias, bias * factor)
    _fill(centres, means * SPREAD / np.sqrt((means**2).mean()))


def _fill(parameter: Tensor, values: np.ndarray) -> None:
    parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)).to(parameter))
