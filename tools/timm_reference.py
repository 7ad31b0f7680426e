"""Write tests/models/backbones/reference/*.npz: what timm's networks answer with drawn weights.

Needs PyTorch and timm, which nothing else here does:

    pip install torch==2.13.0 pyyaml huggingface_hub safetensors pillow numpy
    pip install --no-deps timm==1.0.31 torchvision==0.28.0
    python tools/timm_reference.py [network ...]

Everything is computed in float64.
"""

import collections
import json
import pathlib
import sys
import time

import drawn_weights
import numpy as np
import safetensors.torch
import torch

for _operator in ('nms', 'qnms'):  # torchvision without its compiled part does not define them
    torch.library.define(
        f'torchvision::{_operator}', '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'
    )

import timm  # noqa: E402
from timm.models import pnasnet  # noqa: E402

TESTS = pathlib.Path(__file__).parents[1] / 'tests' / 'models'
FOLDER = TESTS / 'backbones' / 'reference'
STATES = TESTS / 'weights' / 'reference'


class ShallowPNASNet(pnasnet.PNASNet5Large):
    """timm's PNASNet with fewer normal cells a stage, numbered on from 0 as the whole one is."""

    def __init__(self, cells, num_classes=1000):
        super().__init__(num_classes=num_classes, pad_type='same')
        stages = [[f'cell_{i}' for i in stage] for stage in (range(4), range(4, 8), range(8, 12))]
        kept = [name for stage in stages for name in stage[:cells]]
        modules = [getattr(self, name) for name in kept]
        for name in sum(stages, []):
            delattr(self, name)
        self.depth = len(modules)
        for number, module in enumerate(modules):
            setattr(self, f'cell_{number}', module)

    def forward_features(self, x):
        first = self.conv_0(x)
        left = self.cell_stem_0(first)
        right = self.cell_stem_1(first, left)
        for number in range(self.depth):
            left, right = right, getattr(self, f'cell_{number}')(left, right)
        return self.act(right)


def build(case):
    """timm's network of a case, float64, with drawn weights."""
    if not case.shallow:
        model = timm.create_model(case.network)
    elif case.network == 'pnasnet5large':
        model = ShallowPNASNet(drawn_weights.SHALLOW_CELLS)
    else:
        model = timm.create_model(case.network, layers=drawn_weights.SHALLOW_DEPTHS)
    model = model.double().train(case.training)
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    drawn = drawn_weights.draw_state(shapes)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in drawn.items()})
    return model


def answer(case):
    """{name: array} of what is kept for a case."""
    model = build(case)
    x = torch.from_numpy(drawn_weights.images(case).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        features = model.forward_features(x)
        kept = drawn_weights.summary(features.permute(0, 2, 3, 1).numpy())
        if not case.training:
            kept['logits'] = model.forward_head(features).numpy()
    kept['parameters'] = np.array(sum(p.numel() for p in model.parameters()))
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    kept['state'] = np.array(json.dumps(shapes))
    return kept


def write_checkpoints():
    """One small state dict in each format that PyTorch's users publish, and as NumPy arrays."""
    weight = torch.arange(24, dtype=torch.float32).reshape(2, 3, 2, 2)
    state = collections.OrderedDict(
        {
            'conv.weight': torch.nn.Parameter(weight),
            'conv.transposed': weight.transpose(0, 3),
            'conv.view': weight[1, 1:],
            'bn.running_mean': torch.tensor([0.5, -2.0], dtype=torch.float64),
            'bn.num_batches_tracked': torch.tensor(7),
            'half.weight': torch.tensor([1.5, 2.5], dtype=torch.float16),
            'brain.weight': torch.tensor([1.5, 3.0], dtype=torch.bfloat16),
            'empty': torch.zeros(0, 4),
        }
    )
    torch.save(state, STATES / 'state.pth')
    torch.save(state, STATES / 'state-legacy.pth', _use_new_zipfile_serialization=False)
    torch.save({'epoch': 3, 'state_dict': state}, STATES / 'state-wrapped.pth')
    contiguous = {key: value.detach().clone().contiguous() for key, value in state.items()}
    safetensors.torch.save_file(contiguous, STATES / 'state.safetensors', {'format': 'pt'})
    arrays = {key: value.detach().float().numpy() for key, value in state.items()}
    np.savez_compressed(STATES / 'state.npz', **arrays)


def main(networks):
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_checkpoints()
    for network in networks or drawn_weights.NATIVE_SIZES:
        for case in drawn_weights.cases(network):
            start = time.perf_counter()
            kept = answer(case)
            path = FOLDER / case.filename
            np.savez_compressed(path, **kept)
            print(
                f'{case.filename}: {kept["shape"]} largest {kept["largest"]:.3g}, '
                f'{kept["parameters"]:,} parameters, {path.stat().st_size / 1e3:.0f} kB, '
                f'{time.perf_counter() - start:.1f} s',
                flush=True,
            )


if __name__ == '__main__':
    main(sys.argv[1:])
