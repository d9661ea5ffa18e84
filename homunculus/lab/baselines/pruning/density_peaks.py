"""Clustering by density peaks with k nearest neighbours (Rodriguez & Laio, Science 2014; Du et al., 2016)."""

from __future__ import annotations

import torch
from torch import Tensor


def density_peaks(points: Tensor, clusters: int) -> Tensor:
    """[clusters, D] means of the clusters of points [N, D], float32.

    Distances are Euclidean / sqrt(D). Density: exp(-mean squared distance to the `clusters` nearest points, itself among them). A
    centre's worth: its density times its distance to the nearest denser point, or the greatest distance of all where none is denser.
    Every point joins the nearest centre, a centre itself. Of equals the first is the denser, and the one chosen; the released code adds
    noise instead. Two nearest neighbours of each other are such equals wherever there are two clusters.
    """
    points = points.float()
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist") / points.shape[1] ** 0.5
    nearest = distance.topk(min(clusters, len(points)), largest=False).values
    density = torch.exp(-(nearest**2).mean(-1))
    number = torch.arange(len(points), device=points.device, dtype=torch.int64)
    denser = density[None, :] > density[:, None]
    denser |= (density[None, :] == density[:, None]) & (number[None, :] < number[:, None])
    reach = torch.where(denser, distance, distance.max()).amin(-1)
    centers = (density * reach).sort(descending=True, stable=True).indices[:clusters]
    member = distance[:, centers].argmin(-1)
    member[centers] = number[: len(centers)]
    total = points.new_zeros(len(centers), points.shape[1]).index_add_(0, member, points)
    return total / torch.bincount(member, minlength=len(centers))[:, None]
