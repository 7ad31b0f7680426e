"""Other formats of an export against its SavedModel.

  python -m benchmarks.formats

The same decoded image, the same crops at five scales and the same network, BatchNorm folded, with
two threads each: onnxruntime with an ONNX file and LiteRT with a LiteRT file, against the
SavedModel in a TensorFlow session, as TensorFlow Serving runs it. Random weights.
"""

import os
import pathlib
import tempfile

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks import export, measure  # noqa: E402
from bsce_tf.serving import fold, graph  # noqa: E402
from bsce_tf.serving.formats import answers, write  # noqa: E402

THREADS = 2
SIDE = 800


def rows(options):
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    for backbone in options.backbones:
        yield from time_formats(backbone, options)


def time_formats(backbone, options):
    network = export.made(backbone, options.classes, export.SCALES)
    network = network._replace(body=fold.fold_batch_norms(network.body)[0])
    names = [f'class {k}' for k in range(options.classes)]
    saved = graph.Graph([graph.Member(network)], names)
    run = export.session(saved, {'serving_default': saved.signatures()['predict_images']})
    image = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)
    own, made = run(images=image), answers.Answers([network], names, 5)
    with tempfile.TemporaryDirectory() as folder:
        for kind, module in write.FORMATS.items():
            for weights in options.weights:
                path = pathlib.Path(folder) / f'{weights}_{module.FILE}'
                module.write(made, path, weights)
                ask = module.load(path, THREADS)
                found = measure.alternate({'ours': lambda ask=ask: ask(image),
                                           'saved_model': lambda: run(images=image)},
                                          options.repeats)
                difference = np.abs(np.sort(ask(image)['scores']) - np.sort(own['scores'])).max()
                yield measure.row(
                    f'{backbone}, {weights} weights, five scales of an image of {SIDE} px: {kind}',
                    'the SavedModel', found['ours'], found['saved_model'],
                    note=f'{path.stat().st_size / 1e6:.0f} MB; scores differ by {difference:.0e}')


if __name__ == '__main__':
    measure.run(__doc__, rows, repeats=(9, 5, 'turns of each way'),
                lists={'backbones': (['efficientnet_lite0', 'resnet50'], ['small_resnest'],
                                     'names'),
                       'weights': (['float32', 'int8'], ['int8'], 'of the files')},
                classes=(1000, 10, 'K'))
