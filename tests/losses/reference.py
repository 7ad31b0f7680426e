"""Losses and gradients by the logits, from the papers' formulas, in float64 NumPy."""

import numpy as np


def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def soft_labels(y, classes, smoothing=0.0):  # not np.eye(classes)[y]: 20 GB at 50,030
    q = np.zeros((len(y), classes))
    q[np.arange(len(y)), y] = 1
    return (1 - smoothing) * q + smoothing / classes


def bsce(q, z, alpha, beta, weights=None, log_zero=-4.0):
    """Losses [n] and gradients [n, K] for soft labels q and logits z, both [n, K]."""
    q, z = np.asarray(q, np.float64), np.asarray(z, np.float64)
    log_p = log_softmax(z)
    p = np.exp(log_p)
    w = np.ones(z.shape[-1]) if weights is None else np.asarray(weights, np.float64)
    with np.errstate(divide='ignore'):
        log_q = np.maximum(np.log(q), log_zero)
    loss = -alpha * (w * q * log_p).sum(-1) - beta * (p * log_q).sum(-1)
    wq = w * q
    ce_gradient = p * wq.sum(-1, keepdims=True) - wq
    rce_gradient = p * ((p * log_q).sum(-1, keepdims=True) - log_q)
    return loss, alpha * ce_gradient + beta * rce_gradient


# One example each: its class y and logits z of float64. The papers' equations as they stand.

def cross_entropy(y, z):
    return -log_softmax(z)[y]


def many(y, z, prior, tau=1.0, bias=None, alpha=0.4, beta=0.7, log_zero=-4.0, adjusted=False,
         weighted=False):
    """Logit adjustment (Menon et al. 2021) and a biased reverse term (Staats et al. 2025)."""
    moved = z + tau * np.log(prior / np.sum(prior))
    raised = np.array(moved if adjusted else z)
    raised[y] += np.log((len(z) - 1) / 9) if bias is None else bias
    weight = np.sum(prior) / (len(prior) * prior[y]) if weighted else 1
    return (alpha * cross_entropy(y, moved)
            - beta * log_zero * weight * (1 - np.exp(log_softmax(raised))[y]))


def focal(y, z, gamma):
    p = np.exp(log_softmax(z))[y]
    return -(1 - p) ** gamma * np.log(p)


def gce(y, z, q):
    return (1 - np.exp(log_softmax(z))[y] ** q) / q


def ldam(y, z, counts, margin, scale):
    largest = np.max(1 / counts ** 0.25)
    lowered = np.array(z)
    lowered[y] -= scale * margin / counts[y] ** 0.25 / largest
    return cross_entropy(y, lowered)


def nce_rce(y, z, alpha, beta, log_zero):
    nce = cross_entropy(y, z) / sum(cross_entropy(k, z) for k in range(len(z)))
    p = np.exp(log_softmax(z))
    rce = -sum(p[k] * (0 if k == y else log_zero) for k in range(len(z)))
    return alpha * nce + beta * rce


def seesaw(y, z, counts, p, q, at=None):
    """`at`: the logits by which the compensation is made, which gets no gradient."""
    sigma = np.exp(log_softmax(z if at is None else at))
    total = 0.0
    for k in range(len(z)):
        mitigation = 1.0 if counts[y] <= counts[k] else (counts[k] / counts[y]) ** p
        compensation = max(1.0, sigma[k] / max(sigma[y], 0.01)) ** q
        total += (1.0 if k == y else mitigation * compensation) * np.exp(z[k] - z.max())
    return -(z[y] - z.max() - np.log(total))


def gradient(function, z, step=1e-6):
    """Central differences of a function of z, [K]."""
    moves = np.eye(len(z)) * step
    return np.array([(function(z + move) - function(z - move)) / (2 * step) for move in moves])
