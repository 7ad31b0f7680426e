"""What an export costs and saves.

  python -m benchmarks.export

Five scales of an 800 × 800 JPEG in one decode against a decode for each scale: crops alone, one
image after another, and the whole exported graph; and the exported forward pass, BatchNorm folded,
against `model.predict` and `predict_on_batch`. Exports run in a TensorFlow session, as TensorFlow
Serving runs them. Random weights, statistics of BatchNorm too.
"""

import functools
import io
import os
import tempfile

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from PIL import Image  # noqa: E402

from benchmarks import measure  # noqa: E402
from bsce_tf.data.images import crops, decode  # noqa: E402
from bsce_tf.data.view import View  # noqa: E402
from bsce_tf.models import backbones, classifier, network  # noqa: E402
from bsce_tf.serving import fold, graph  # noqa: E402

SIDE, SIZE, SCALES = 800, 331, (384, 412, 424, 436, 464)


def rows(options):
    yield time_crops(options)
    for backbone in options.backbones:
        yield from time_forward(backbone, options)
    yield time_tta(options.backbones[0], options)


def time_crops(options):
    data = tf.constant(photograph())

    def way(scales):
        @tf.function
        def prepare():
            image = decode.decode(data, 100_000_000)
            return crops.to_uint8(crops.centre_crops(image, scales, SIZE))

        return prepare

    together, single = way(SCALES), [way((scale,)) for scale in SCALES]
    found = measure.alternate({
        'one': lambda: [together() for _ in range(options.images)],
        'five': lambda: [way() for _ in range(options.images) for way in single]},
        options.repeats)
    return measure.row(f'crops of five scales of {options.images} JPEGs of {SIDE} px',
                       'the same with a decode for each scale', found['one'], found['five'],
                       '≤ 0.8')


def time_forward(backbone, options):
    plain = made(backbone, options.classes, SCALES[:1])
    model = classifier_of(plain)
    size = plain.view.size
    batch = np.random.default_rng(0).integers(
        0, 256, (options.batch, 1, size, size, 3)).astype(np.uint8)
    folded = plain._replace(body=fold.fold_batch_norms(plain.body)[0])
    export = forward_session(folded, batch)
    own = model.predict(batch[:, 0], options.batch, verbose=0)
    difference = np.abs(export() - own).max() / np.abs(own).max()
    found = measure.alternate({
        'export': export,
        'predict': lambda: model.predict(batch[:, 0], options.batch, verbose=0),
        'predict_on_batch': lambda: model.predict_on_batch(batch[:, 0])}, options.repeats)
    what = f'exported {backbone}, {options.batch} crops of {size} px'
    yield measure.row(what, 'model.predict', found['export'], found['predict'], '≥ 1.15',
                      note=f'logits differ by {difference:.1e} of the largest; predict makes a '
                      'tf.data set, whose end waits now and then')
    yield measure.row(what, 'model.predict_on_batch', found['export'], found['predict_on_batch'])


def time_tta(backbone, options):
    data = [photograph()]

    def way(scales):
        plain = made(backbone, options.classes, scales)
        folded = plain._replace(body=fold.fold_batch_norms(plain.body)[0])
        module = graph.Graph([graph.Member(folded)], [str(k) for k in range(options.classes)])
        return functools.partial(session(module, module.signatures()), image_bytes=data)

    together, single = way(SCALES), [way((scale,)) for scale in SCALES]
    found = measure.alternate({'one': together,
                               'five': lambda: [way() for way in single]},
                              options.repeats)
    return measure.row(f'{backbone} on five scales of a JPEG of {SIDE} px, end to end',
                       'a request for each scale', found['one'], found['five'], '≤ 1.0')


def photograph():
    """A JPEG of 800 × 800 with texture, quality 90."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.BICUBIC), np.float32)
    pixels = np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'JPEG', quality=90)
    return buffer.getvalue()


def made(backbone, classes, scales):
    """A `Network` with random weights; scales in proportion to the backbone's native size."""
    size = backbones.get(backbone).weights.size
    model = classifier.build(backbone, classes, image_size=size)
    rng = np.random.default_rng(0)
    for weight in model.weights:  # at first they are 0 and 1, which TensorFlow leaves out
        name = weight.path.rpartition('/')[2]
        if name in ('moving_mean', 'beta'):
            weight.assign(rng.normal(0, 0.1, weight.shape))
        elif name in ('moving_variance', 'gamma'):
            weight.assign(rng.uniform(0.8, 1.25, weight.shape))
    scales = tuple(round(scale * size / SIZE) for scale in scales)
    return network.of(model, View(size, scales))


def classifier_of(made):
    import keras
    return keras.Model(made.body.input, made.head(made.body.output))


def forward_session(made, batch):
    """Function that gives the logits of crops, from an export of nothing else."""
    module = tf.Module()
    module.member = graph.Member(made)
    forward = tf.function(
        lambda crops: {'logits': made.logits(made.features(crops))},
        input_signature=[tf.TensorSpec([None, *made.view.shape], tf.uint8, name='crops')],
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


if __name__ == '__main__':
    measure.run(__doc__, rows, repeats=(5, 5, 'turns of each way'),
                lists={'backbones': (['resnet152', 'pnasnet5large'], ['resnet50'], 'names')},
                classes=(1000, 10, 'K'), batch=(5, 1, 'crops of a forward pass'),
                images=(10, 2, 'images of a turn of crops'))
