"""Class weights from class sizes."""

import numpy as np

from bsce_tf import fields
from bsce_tf.errors import InputError

BETA = fields.default('loss.effective_beta')


def balanced(counts, cap=0.0):
    """w(k) = N / (K·n(k)), the weight of class k in the balanced cross-entropy (BCE).

    Huang, Li and Zhu 2020, "Balanced Symmetric Cross Entropy for Large Scale Imbalanced and Noisy
    Data", section 3. Without a cap the mean weight over the N images is 1.

    Args:
      counts: `[K]` images of each class, integers ≥ 1; N is their sum.
      cap: largest weight, as `loss.weight_cap`; 0 or None: no cap. Without a cap, AliProducts (5
        to 8,000 images per class, mean 50) has weights up to 10.

    Returns:
      float32 `[K]`.

    Raises:
      InputError: if a count is below 1 or not finite, or the cap is out of range.

    Example:
      >>> balanced([8, 4, 4])
      array([0.6666667, 1.3333334, 1.3333334], dtype=float32)
    """
    counts = np.asarray(counts, np.float64)
    if counts.ndim != 1 or not counts.size:
        raise InputError(f'counts: found shape {counts.shape}; expected one count a class.')
    bad = np.flatnonzero(~(counts >= 1) | ~np.isfinite(counts))
    if bad.size:
        raise InputError(
            f'counts: class {bad[0]} has {counts[bad[0]]:g} images ({bad.size} such classes), so '
            'it has no weight N / (K·n); expected at least 1 image of every class.')
    if cap is not None:
        fields.check('loss.weight_cap', cap)
    weights = counts.sum() / (counts.size * counts)
    return np.minimum(weights, cap or np.inf).astype(np.float32)


def effective(counts, beta=BETA):
    """w(k) ∝ (1−β) / (1−β^n(k)), one over the effective number of images; the weights sum to K.

    Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples", section 4.
    With β = 0 all weights are equal; for β → 1 they are ∝ 1 / n(k). The paper tries 0.9, 0.99,
    0.999 and 0.9999. β = 1 − 1/m means that a class gains little from more than about m images.

    Args:
      counts: `[K]` images of each class, above 0; may be fractions.
      beta: β, 0 to below 1.

    Returns:
      float32 `[K]`.

    Raises:
      InputError: if a class has no image, a count is not finite, or β is out of range.

    Example:
      >>> effective([2, 1], beta=0.5)
      array([0.8, 1.2], dtype=float32)
    """
    counts = np.asarray(counts, np.float64)
    if counts.ndim != 1 or not counts.size:
        raise InputError(f'counts: found shape {counts.shape}; expected one count a class.')
    bad = np.flatnonzero(~(counts > 0) | ~np.isfinite(counts))
    if bad.size:
        raise InputError(
            f'counts: class {bad[0]} has {counts[bad[0]]:g} images ({bad.size} such classes), so '
            'it has no effective number; expected at least 1 image of every class.')
    fields.check('loss.effective_beta', beta)
    # 1 − β^n, also exact if β^n is near 1.
    number = -np.expm1(counts * np.log(beta)) if beta else np.ones_like(counts)
    return (len(counts) / number / np.sum(1.0 / number)).astype(np.float32)
