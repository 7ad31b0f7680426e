"""What an export costs and saves.

  python benchmarks/export.py crops                     preparing five scales against one
  python benchmarks/export.py forward resnet152         exported forward pass against model.predict
  python benchmarks/export.py forward resnet152 --variants    and which optimisation brings what
  python benchmarks/export.py tta resnet152             five scales against one, end to end

Exports run in a TensorFlow session, as TensorFlow Serving runs them. Random weights,
statistics of BatchNorm too. In turn;
prints the median and range of each and of the ratios of neighbouring runs. `crops` takes an 800 ×
800 JPEG, decodes it and crops it, one image after another.
"""

import argparse
import functools
import io
import os
import tempfile
import time

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from PIL import Image  # noqa: E402

from bsce_tf.data import crops, decode  # noqa: E402
from bsce_tf.evaluation import members  # noqa: E402
from bsce_tf.models import backbones, classifier  # noqa: E402
from bsce_tf.serving import fold, freeze, graph  # noqa: E402

SIDE, SIZE, SCALES, ONE = 800, 331, (384, 412, 424, 436, 464), 436


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('what', choices=('crops', 'forward', 'tta'))
    parser.add_argument('backbone', nargs='?', default='resnet152')
    parser.add_argument('--classes', type=int, default=1000)
    parser.add_argument('--batch', type=int, default=5, help='crops of a forward pass')
    parser.add_argument('--images', type=int, default=20, help='images of a run of `crops`')
    parser.add_argument('--repeats', type=int, default=9)
    parser.add_argument('--variants', action='store_true', help='of the exported forward pass')
    options = parser.parse_args()
    print(f'{os.cpu_count()} cores, TensorFlow {tf.__version__}, {options.repeats} repeats in '
          'turn: median [range]')
    {'crops': time_crops, 'forward': time_forward, 'tta': time_tta}[options.what](options)


def time_crops(options):
    data = tf.constant(photograph())

    def way(scales):
        @tf.function
        def prepare():
            image = decode.decode(data, 100_000_000)
            return crops.to_uint8(crops.centre_crops(image, scales, SIZE))

        return lambda: [prepare() for _ in range(options.images)]

    compare({'five scales': way(SCALES), 'one scale': way((ONE,))}, options, options.images)


def time_forward(options):
    member = made(options, (SIZE,))
    model = classifier_of(member)
    size = member.size
    batch = np.random.default_rng(0).integers(
        0, 256, (options.batch, 1, size, size, 3)).astype(np.uint8)
    ways = {'model.predict': lambda: model.predict(batch[:, 0], options.batch, verbose=0)}
    folded = member._replace(body=fold.fold_batch_norms(member.body)[0])
    kinds = {'export': (folded, False)}
    if options.variants:
        kinds.update({'frozen': (folded, True), 'as trained': (member, False),
                      'frozen alone': (member, True)})
    for name, (changed, frozen) in kinds.items():
        ways[name] = forward_session(changed, frozen, batch)
    own = ways['model.predict']()
    difference = np.abs(ways['export']() - own).max() / np.abs(own).max()
    print(f'{options.backbone}, {options.batch} crops of {size} x {size}; logits differ by '
          f'{difference:.1e} of the largest')
    compare(ways, options, options.batch)


def time_tta(options):
    data = [photograph()]
    ways = {}
    for name, scales in (('five scales', SCALES), ('one scale', (ONE,))):
        member = made(options, scales)
        member = member._replace(body=fold.fold_batch_norms(member.body)[0])
        module = graph.Graph([part(member, False)], [str(k) for k in range(options.classes)])
        ways[name] = functools.partial(session(module, module.signatures()), image_bytes=data)
    compare(ways, options, 1)


def photograph():
    """A JPEG of 800 × 800 with texture, quality 90."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.BICUBIC), np.float32)
    pixels = np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'JPEG', quality=90)
    return buffer.getvalue()


def made(options, scales):
    """A `Member` with random weights; scales in proportion to the backbone's native size."""
    size = backbones.get(options.backbone).weights.size
    model = classifier.build(options.backbone, options.classes, image_size=size)
    rng = np.random.default_rng(0)
    for weight in model.weights:  # at first they are 0 and 1, which TensorFlow leaves out
        name = weight.path.rpartition('/')[2]
        if name in ('moving_mean', 'beta'):
            weight.assign(rng.normal(0, 0.1, weight.shape))
        elif name in ('moving_variance', 'gamma'):
            weight.assign(rng.uniform(0.8, 1.25, weight.shape))
    body, head = members.split(model)
    scales = tuple(round(scale * size / SIZE) for scale in scales)
    return members.Member(options.backbone, body, head, scales, size, 'squash', False, 3, None)


def classifier_of(member):
    import keras
    return keras.Model(member.body.input, member.head(member.body.output))


def part(member, frozen):
    """As the export makes it."""
    if not frozen:
        return graph.Part(member)
    shape = [None, len(member.scales), member.size, member.size, member.channels]
    return graph.Part(member, *(
        freeze.freeze(functools.partial(function, member), tf.TensorSpec(*spec))
        for function, spec in ((members.features_of, (shape, tf.uint8)),
                               (members.logits_of, ([None, shape[1], member.body.output.shape[-1]],
                                                    tf.float32)))))


def forward_session(member, frozen, batch):
    """Function that gives the logits of crops, from an export of nothing else."""
    module = tf.Module()
    module.part = part(member, frozen)
    forward = tf.function(
        lambda crops: {'logits': module.part.logits(module.part.features(crops))},
        input_signature=[tf.TensorSpec([None, *module.part.shape], tf.uint8, name='crops')],
        autograph=False)
    run = session(module, {'serving_default': forward})
    return lambda: run(crops=batch)['logits']


def session(module, signatures):
    """Function of a SavedModel's inputs, run by a session as a server does."""
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=signatures)
        place = tf.Graph()
        with place.as_default():
            runner = tf.compat.v1.Session(graph=place)
            meta = tf.compat.v1.saved_model.load(runner, ['serve'], folder)
    signature = meta.signature_def['serving_default']
    outputs = {name: info.name for name, info in signature.outputs.items()}
    names = {name: info.name for name, info in signature.inputs.items()}
    return lambda **inputs: runner.run(outputs, {names[n]: x for n, x in inputs.items()})


def compare(ways, options, count):
    """Times the ways in turn and prints ratios of the first to the others.

    CPU time too, which says more where others use the machine at the same time.
    """
    for way in ways.values():
        way()
        way()
    found = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, way in ways.items():
            begin = time.perf_counter(), time.process_time()
            way()
            found[name].append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    found = {name: np.array(values).T for name, values in found.items()}
    first, *others = found
    for name, (wall, cpu) in found.items():
        print(f'  {name:14} {spread(1000 * wall / count)} ms each, '
              f'CPU {spread(1000 * cpu / count)}')
    for name in others:
        wall, cpu = found[first] / found[name]
        print(f'  {first} / {name}: {spread(wall)}, CPU {spread(cpu)}')


def spread(values):
    return f'{np.median(values):.3g} [{np.min(values):.3g} to {np.max(values):.3g}]'


if __name__ == '__main__':
    main()
