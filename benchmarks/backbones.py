"""Images a second of each port, as a ratio to timm on PyTorch, in one run.

    python benchmarks/backbones.py --peer-python ~/torch/bin/python senet154 pnasnet5large
    python benchmarks/backbones.py --peer-python ~/torch/bin/python --train senet154

Both networks have a head of 1,000 classes and random weights, and are fed the same number of
images at their native size, in float32. They live in two processes that take turns, so that a
busy machine slows both; the ratio of a turn is of neighbouring measurements. Peak memory is that
of our process.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

# Ours: module, function and arguments; timm's name; native size.
NETWORKS = {
    'pnasnet5large': ('pnasnet:pnasnet5large', {}, 'pnasnet5large', 331),
    'senet154': ('senet:senet154', {}, 'senet154', 224),
    'legacy_senet154': ('senet:senet154', {'legacy': True}, 'legacy_senet154', 224),
    'resnest50': ('resnest:resnest50', {}, 'resnest50d', 224),
    'resnest101': ('resnest:resnest101', {}, 'resnest101e', 256),
    'resnest200': ('resnest:resnest200', {}, 'resnest200e', 320),
    'resnest269': ('resnest:resnest269', {}, 'resnest269e', 416),
}


def our_step(name, batch, train, threads):
    """Function that runs one forward pass or one training step of ours."""
    import importlib

    import keras
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    where, options, _, size = NETWORKS[name]
    module, function = where.split(':')
    build = getattr(importlib.import_module(f'bsce_tf.models.{module}'), function)
    backbone = build((size, size, 3), **options)
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    model = keras.Model(backbone.input, keras.layers.Dense(1000)(pooled))
    images = np.random.default_rng(0).normal(size=(batch, size, size, 3)).astype('float32')
    if not train:
        return lambda: model.predict_on_batch(images)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-3), loss, jit_compile=False)
    return lambda: model.train_on_batch(images, np.arange(batch))


def peer_step(name, batch, train, threads):
    """The same of timm's."""
    import torch

    for operation in ('nms', 'qnms'):
        torch.library.define(
            f'torchvision::{operation}', '(Tensor dets, Tensor scores, float iou) -> Tensor'
        )
    import timm

    torch.set_num_threads(threads)
    _, _, peer, size = NETWORKS[name]
    model = timm.create_model(peer).train(train)
    images = torch.randn(batch, 3, size, size)
    if not train:
        def forward():
            with torch.inference_mode():
                model(images)

        return forward
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)

    def step():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), torch.arange(batch)).backward()
        optimizer.step()

    return step


def work(arguments):
    """A worker: time one turn for every line that comes in."""
    make = {'ours': our_step, 'peer': peer_step}[arguments.worker]
    step = make(arguments.networks[0], arguments.batch, arguments.train, arguments.threads)
    step()
    step()  # the second is the first that does not trace or allocate
    print('ready', flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f'{seconds} {peak}', flush=True)


def start(python, worker, name, arguments):
    """A worker process that is ready to be timed."""
    command = [python, __file__, '--worker', worker, '--batch', str(arguments.batch)]
    command += ['--threads', str(arguments.threads), *(['--train'] if arguments.train else [])]
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    process = subprocess.Popen(
        [*command, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={'TF_CPP_MIN_LOG_LEVEL': '2', 'TF_ENABLE_ONEDNN_OPTS': '1',  # as main.py
             **os.environ, 'PYTHONPATH': root},
    )
    if process.stdout.readline() != 'ready\n':
        raise SystemExit(f'{worker} {name} did not start')
    return process


def turn(process):
    """(seconds of one step, peak memory in GiB)."""
    process.stdin.write('go\n')
    process.stdin.flush()
    return tuple(float(number) for number in process.stdout.readline().split())


def compare(name, arguments):
    """Print one line for a network."""
    workers = [
        start(python, worker, name, arguments)
        for python, worker in ((sys.executable, 'ours'), (arguments.peer_python, 'peer'))
    ]
    turns = [[turn(worker) for worker in workers] for _ in range(arguments.repeats)]
    for worker in workers:
        worker.stdin.close()
        worker.wait()
    ours, peer = ([t[i][0] for t in turns] for i in (0, 1))
    ratios = [theirs / mine for mine, theirs in zip(ours, peer, strict=True)]
    print(
        f'{name:16s} {"train" if arguments.train else "forward":8s}'
        f'ratio {spread(ratios)}  ours {spread(ours)} s  timm {spread(peer)} s  '
        f'{arguments.batch / statistics.median(ours):.2f} images/s  '
        f'peak {max(t[0][1] for t in turns):.1f} GiB',
        flush=True,
    )


def spread(values):
    return f'{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('networks', nargs='*', default=list(NETWORKS), metavar='network')
    parser.add_argument('--peer-python', help='a Python that has torch and timm')
    parser.add_argument('--train', action='store_true', help='time training steps')
    parser.add_argument('--batch', type=int, default=4)
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--worker', choices=('ours', 'peer'), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = [name for name in arguments.networks if name not in NETWORKS]
    if unknown:
        parser.error(f'unknown: {", ".join(unknown)}; expected some of {", ".join(NETWORKS)}')
    if arguments.worker:
        work(arguments)
        return
    if not arguments.peer_python:
        parser.error('--peer-python is needed')
    for name in arguments.networks:
        compare(name, arguments)


if __name__ == '__main__':
    main()
