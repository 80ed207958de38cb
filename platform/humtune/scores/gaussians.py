"""Mixtures of Gaussians: fitted by scikit-learn, computed in torch, so that they can be part of a graph."""

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Covariance = Literal["full", "tied", "diag", "spherical"]
Likelihood = Literal["mixture", "component"]  # of all Gaussians and their weights; of the likeliest alone


class Gaussians(NamedTuple):
    """K Gaussians of k dimensions, float64; W Wᵀ of a whitener W is the inverse of its covariance."""

    centres: Tensor  # [K, k]
    whiteners: Tensor  # [K, k, k]
    log_weights: Tensor  # [K]


def fit_gaussians(
    rows: NDArray[np.float64], *, components: int, covariance: Covariance, floor: float, seed: int
) -> tuple[Gaussians, float]:
    """A mixture of rows [n, k], two or more, and their mean negative log-likelihood.

    By expectation maximisation from what k-means finds, seeded; `floor` is added to the variances.
    """
    from sklearn.mixture import (
        GaussianMixture,
    )  # here: trials with other scores start without its import time

    model = GaussianMixture(
        components,
        covariance_type=covariance,
        reg_covar=floor,
        random_state=np.random.RandomState(seed % 2**32),
    ).fit(rows)
    k = rows.shape[1]
    whiteners = torch.from_numpy(np.asarray(model.precisions_cholesky_, dtype=np.float64))
    match covariance:
        case "tied":
            whiteners = whiteners.repeat(components, 1, 1)
        case "diag":
            whiteners = torch.diag_embed(whiteners)
        case "spherical":
            whiteners = whiteners[:, None, None] * torch.eye(k, dtype=torch.float64)
    log_weights = torch.from_numpy(np.log(model.weights_))
    return Gaussians(torch.from_numpy(model.means_), whiteners, log_weights), -float(model.lower_bound_)


def negative_log_likelihood(z: Tensor, gaussians: Gaussians, likelihood: Likelihood = "mixture") -> Tensor:
    """−log p [n] of rows z [n, k], float64: of the mixture, or of its likeliest Gaussian, without weights."""
    logs = []
    for centre, whitener, log_weight in zip(*gaussians, strict=True):
        distance = ((z - centre) @ whitener).square().sum(dim=1)
        weight = log_weight if likelihood == "mixture" else 0.0
        logs.append(weight + whitener.diagonal().log().sum() - distance / 2)
    constant = z.shape[1] / 2 * math.log(2 * math.pi)
    each = torch.stack(logs)
    return constant - (each.logsumexp(dim=0) if likelihood == "mixture" else each.amax(dim=0))
