"""Weights and images drawn from a seeded generator: the same here and in PyTorch, without PyTorch.

A network with drawn weights shows every difference between two implementations. A network as it
is initialised does not: many of its scales are zero and its running statistics are 0 and 1.
"""

import dataclasses
import hashlib
import math

import numpy as np

SHALLOW_DEPTHS = (1, 2, 2, 1)  # blocks a stage in the shallow variants of the residual networks
SHALLOW_CELLS = 2  # normal cells a stage in the shallow PNASNet

NATIVE_SIZES = {
    'pnasnet5large': 331,
    'legacy_senet154': 224,
    'senet154': 224,
    'resnest50d': 224,
    'resnest101e': 256,
    'resnest200e': 320,
    'resnest269e': 416,
}
ODD_SIZES = {'pnasnet5large': 224}  # the odd one out: 331 is odd already
_ODD_SIZE = 225


@dataclasses.dataclass(frozen=True)
class Case:
    """One forward pass whose result in timm is kept.

    Attributes:
        network: timm's name.
        size: height and width of the images.
        batch: how many images.
        shallow: whether depth is cut to `SHALLOW_DEPTHS` or `SHALLOW_CELLS`.
        training: whether BatchNorm takes the batch's statistics.
    """

    network: str
    size: int
    batch: int = 1
    shallow: bool = False
    training: bool = False

    @property
    def filename(self):
        """Name of the file with the kept result, below tests/models/backbones/reference."""
        depth = 'shallow' if self.shallow else 'full'
        mode = '-training' if self.training else ''
        return f'{self.network}-{depth}-{self.size}{mode}.npz'


def cases(network):
    """All cases of one network: (native size, other parity) x (full, shallow), and training."""
    sizes = NATIVE_SIZES[network], ODD_SIZES.get(network, _ODD_SIZE)
    evaluated = [Case(network, size, shallow=shallow)
                 for shallow in (False, True) for size in sizes]
    return [*evaluated, Case(network, 97, batch=4, shallow=True, training=True)]


def draw(name, shape):
    """Draw the tensor that a PyTorch state dict holds under `name`.

    Scales keep activations between about 0.1 and 100 through a hundred blocks: convolutions keep
    the variance of their input, the last BatchNorm of a residual block is scaled down.

    Args:
        name: key of the state dict, such as 'layer1.0.bn3.weight'.
        shape: in PyTorch's layout.

    Returns:
        float64 array of `shape`, a function of name and shape only.
    """
    generator = _generator(name)
    if name.endswith('running_var'):
        return generator.uniform(0.5, 1.5, shape)
    if name.endswith('running_mean'):
        return generator.normal(0.0, 0.1, shape)
    if name.endswith('bias'):
        return generator.normal(0.0, 0.1, shape)
    if len(shape) == 1:
        low, high = (0.2, 0.4) if name.endswith('bn3.weight') else (0.5, 1.5)
        return generator.uniform(low, high, shape)
    gain = 1.0 if shape[1] == 1 else 1.5  # a depthwise convolution has no ReLU after it
    return generator.normal(0.0, math.sqrt(gain / math.prod(shape[1:])), shape)


def draw_state(shapes):
    """Draw a whole state dict from {name: shape}; counts of batches become zero."""
    return {
        name: np.zeros(shape, np.int64)
        if name.endswith('num_batches_tracked')
        else draw(name, tuple(shape))
        for name, shape in shapes.items()
    }


def images(case):
    """Draw normalised images, float64 [batch, size, size, 3], for a case.

    Each image has its own mean colour and contrast: pooled features then differ between images,
    and a BatchNorm that sees one pixel an image has a variance to divide by.
    """
    generator = _generator(f'images {case.size}')
    shape = (case.batch, case.size, case.size, 3)
    noise = generator.normal(0.0, 1.0, shape)
    contrast = generator.uniform(0.3, 1.0, (case.batch, 1, 1, 3))
    return noise * contrast + generator.normal(0.0, 1.0, (case.batch, 1, 1, 3))


def summary(features):
    """What is kept of a feature map [batch, h, w, c]: {name: array}, some tens of kilobytes."""
    features = np.asarray(features, np.float64)
    stride = math.ceil(features.size / 2000)
    return {
        'shape': np.array(features.shape),
        'pooled': features.mean(axis=(1, 2)),
        'every': features.ravel()[:: stride + 1 - stride % 2],  # odd: meets every channel's parity
        'sum': features.sum(),
        'norm': np.linalg.norm(features),
        'largest': np.abs(features).max(),
    }


def _generator(text):
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], 'little')
    return np.random.Generator(np.random.PCG64(seed))
