"""What PyTorch, timm, torchvision and torchmetrics do; run by the benchmarks in `.venv-peers`.

  .venv-peers/bin/python benchmarks/torch_peers.py --worker='{"kind": "recall", …}'

TensorFlow is not installed there. See `measure.Worker`.
"""

import importlib.util
import json
import pathlib
import resource
import sys

import numpy as np
import torch

from benchmarks import measure


def stand_in_for_operators():
    """Lets torchvision import where a CUDA build of it stands beside a CPU build of PyTorch.

    Its compiled operators do not load then; nothing here calls them, but it asks for two.
    """
    folder = pathlib.Path(importlib.util.find_spec('torchvision').origin).parent
    try:
        torch.ops.load_library(next(folder.glob('_C*.so')))
    except OSError:
        for name in ('nms', 'qnms'):
            torch.library.define(f'torchvision::{name}',
                                 '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')


def network(name, size, batch, train, threads=2):
    """Function that runs timm's network forward, or one step of training."""
    import timm

    torch.set_num_threads(threads)
    model = timm.create_model(name).train(train)
    images = torch.randn(batch, 3, size, size)
    labels = torch.arange(batch)
    if not train:
        def forward():
            with torch.inference_mode():
                model(images)

        return forward, {}
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)

    def step():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step, {}


def loader(folder, size, batch, batches, threads=2):
    """Function that gives the seconds an image of timm's training crops from files."""
    import time

    from timm.data import create_transform
    from torchvision.datasets import ImageFolder

    transform = create_transform((3, size, size), is_training=True, color_jitter=None,
                                 interpolation='bilinear')  # random resized crop, flip, scaling
    images = ImageFolder(folder, transform)

    def turn():
        sampler = torch.utils.data.RandomSampler(images, replacement=True,
                                                 num_samples=(batches + 1) * batch)
        made = iter(torch.utils.data.DataLoader(images, batch, sampler=sampler,
                                                num_workers=threads))
        next(made)
        begin = time.perf_counter()
        for _ in range(batches):
            next(made)
        return (time.perf_counter() - begin) / batches / batch

    return turn, {}


def recall(predictions, classes, limit):
    """Function that counts predictions and computes the mean recall; memory and error as facts.

    The process may use `limit` MB: torchmetrics counts K × K pairs.
    """
    from torchmetrics.classification import MulticlassRecall

    predicted, labels = (torch.from_numpy(part) for part in np.load(predictions))
    metric = MulticlassRecall(num_classes=classes, average='macro', validate_args=False)
    resource.setrlimit(resource.RLIMIT_AS, (limit * 2**20, limit * 2**20))
    before = measure.from_here()

    def turn():
        metric.reset()
        metric.update(predicted, labels)
        metric.compute()

    turn()
    return turn, {'memory': measure.peak() - before, 'error': 1 - float(metric.compute())}


KINDS = {'network': network, 'loader': loader, 'recall': recall}


def work(settings):
    """Serves one kind of peer; the first two turns warm up and are not counted."""
    stand_in_for_operators()
    step, facts = KINDS[settings.pop('kind')](**settings)
    if 'memory' not in facts:
        step()
        step()
    measure.serve(step, **facts)


if __name__ == '__main__':
    work(json.loads(sys.argv[1].removeprefix('--worker=')))
