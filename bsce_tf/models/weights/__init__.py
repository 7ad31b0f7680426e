"""What is known of a published set of ImageNet weights."""

import dataclasses

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Weights:
    """One published checkpoint of a network, trained on ImageNet-1k, and how it wants its images.

    Attributes:
        repository: 'owner/name' on the Hugging Face hub, or the address of the folder that holds
            the file where it is published elsewhere.
        filename: the file in that place.
        revision: of the repository on the hub, a commit or a tag; None for its newest.
        mean, std: of each channel, for images in [0, 1]: the network wants (x - mean) / std.
        size: native height and width in pixels.
        interpolation: of the resize before the centre crop, 'bilinear' or 'bicubic'.
        crop_fraction: side of the centre crop over the side of the resized image, in (0, 1].
        licence: SPDX identifier of the weights' licence, lower case; None where not stated.
        top1: published ImageNet top-1 accuracy in percent, None where no source was found.
        source: where `top1` was read.
        sha256: hexadecimal digest of the file, or its first digits; None where it is not known
            here: then what the hub says of the file is checked, which guards against damage, and
            not against another file in its place.
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
