"""Distances from the classes of the reference, in units of their spread."""

import numpy as np
import torch
from torch import Tensor

from humtune.scores.base import FittedScore, Score
from humtune.scores.encoded import Encoded

LEAST_SPREAD = 1e-6  # of the mean variance of all: the few clips of a class may be copies of one


class Mahalanobis(Score):
    """min_c (z − m_c)ᵀ Σ⁻¹ (z − m_c) over the classes c, one Σ for all (Lee et al. 2018, arXiv:1807.03888).

    m_c is the mean of the class's references, Σ the covariance of all references about their class's mean,
    shrunk towards a multiple of the identity (Ledoit and Wolf 2004), so that it has an inverse whatever the
    count of clips. Where the references have no classes, all are one.
    """

    def fit(self, reference: Encoded) -> "ClassDistance":
        """Against these references."""
        return ClassDistance(self, reference)

    def parts(self, residuals: list[Tensor]) -> list[Tensor]:
        """The residuals [n_c, k] of the classes, put together as they share a covariance."""
        return [torch.cat(residuals)]


class ClassMahalanobis(Mahalanobis):
    """min_c (z − m_c)ᵀ Σ_c⁻¹ (z − m_c), each class with its own shrunk covariance Σ_c.

    As `Mahalanobis`, but classes may be wider or narrower than others. A class of few references is shrunk
    the more.
    """

    def parts(self, residuals: list[Tensor]) -> list[Tensor]:
        """Each class by itself."""
        return residuals


class ClassDistance(FittedScore):
    """Squared distance from the nearest class, in units of the classes' spread."""

    centre: Tensor
    whitener: Tensor

    def __init__(self, settings: Mahalanobis, reference: Encoded) -> None:
        super().__init__(settings, reference)
        values = reference.embedding.double()
        classes = [values] if reference.label is None else [values[rows] for rows in _groups(reference.label)]
        centre = torch.stack([members.mean(dim=0) for members in classes])
        residuals = [members - members.mean(dim=0) for members in classes]
        floor = LEAST_SPREAD * float(torch.cat(residuals).square().mean())
        whitener = torch.stack([whitening(part, floor) for part in settings.parts(residuals)])
        self.register_buffer("centre", (whitener @ centre[:, :, None]).squeeze(2))
        self.register_buffer("whitener", whitener)

    def score(self, encoded: Encoded) -> Tensor:
        """Squared distances, a class at a time."""
        z = encoded.embedding.double()
        whitened = [z @ matrix.T for matrix in self.whitener]
        distances = [
            (whitened[i % len(whitened)] - centre).square().sum(dim=1) for i, centre in enumerate(self.centre)
        ]
        return torch.stack(distances).amin(dim=0)


def whitening(residuals: Tensor, floor: float) -> Tensor:
    """W [k, k] with WᵀW = (Σ + floor · I)⁻¹, Σ the shrunk covariance of residuals [n, k] about their mean."""
    from sklearn.covariance import ledoit_wolf  # here: trials with other scores start without its import time

    unit = np.eye(residuals.shape[1])
    covariance = max(floor, 1e-12) * unit
    if len(residuals) > 1:
        covariance += ledoit_wolf(residuals.cpu().numpy(), assume_centered=True)[0]
    factor = np.linalg.cholesky(covariance)
    return torch.from_numpy(np.linalg.solve(factor, unit)).to(residuals.device)


def _groups(label: Tensor) -> list[Tensor]:
    return [label == value for value in torch.unique(label)]
