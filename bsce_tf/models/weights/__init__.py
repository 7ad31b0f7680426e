"""Pretrained weights: reading, checking, converting; `Weights` describes a published set."""

import dataclasses

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Weights:
    """A published checkpoint, trained on ImageNet-1k, and the preprocessing of its images.

    Attributes:
        repository: 'owner/name' on the Hugging Face hub; or, if published elsewhere, the URL of
            the folder with the file.
        filename: the file in the repository.
        revision: of the repository on the hub, a commit or a tag; None for the newest.
        mean, std: of each channel; the network takes (x - mean) / std for x in [0, 1].
        size: native height and width in pixels.
        interpolation: of the resize before the centre crop, 'bilinear' or 'bicubic'.
        crop_fraction: side of the centre crop over the side of the resized image, in (0, 1].
        licence: SPDX identifier of the weights' licence, lower case; None if not stated.
        top1: published ImageNet top-1 accuracy in percent; None if no source was found.
        source: of `top1`.
        sha256: hexadecimal digest of the file, or its first digits. None if unknown: the digest
            that the hub states is checked instead, which detects damage but no replaced file.
    """

    repository: str
    filename: str = 'model.safetensors'
    mean: tuple = IMAGENET_MEAN
    std: tuple = IMAGENET_STD
    size: int = 224
    interpolation: str = 'bilinear'
    crop_fraction: float = 0.875
    licence: str | None = None
    top1: float | None = None
    source: str | None = None
    sha256: str | None = None
    revision: str | None = None
