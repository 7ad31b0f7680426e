"""Probes: each function runs the shortest piece of the program in which a field has its effect.

Each takes a ConfigDict and a folder with pictures, tables and lists (see `world`), and returns
something that can be compared.
"""

import contextlib
import csv
import itertools
import pathlib
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image
from tensorflow.python.framework import config as tf_config  # no public way to turn it off again

from bsce_tf.catalogue import inspect, pack, verify
from bsce_tf.cli import engine, program
from bsce_tf.data import prepare
from bsce_tf.data.images import augment
from bsce_tf.data.listing import index_cache
from bsce_tf.data.sources import generated
from bsce_tf.data.view import View
from bsce_tf.heads import choice
from bsce_tf.models import network as split_network
from bsce_tf.models.classifier import make_model
from bsce_tf.termination import Terminated
from bsce_tf.training import averaging, build, schedule, stages, strategy, train
from bsce_tf.training.batches import Batches
from bsce_tf.training.loop import Loop
from bsce_tf.training.state import State
from tests.data.pictures import encoded, picture
from tests.training.observers.test_tracking import mlflow_double

ERRORS = (0.5, 0.495, 0.49, 0.3, 0.31, 0.32)  # of validation, an epoch each
COUNTS = np.array([900, 90, 9])
RNG = np.random.default_rng(0)
LOGITS, LABELS = RNG.normal(0, 2, (6, 3)).astype('float32'), np.array([0, 1, 2, 0, 1, 2])


def tiny(shape):
    """A network that is built in no time."""
    inputs = keras.Input(shape)
    x = layers.Conv2D(4, 3, 2, name='stem')(inputs)
    x = layers.BatchNormalization(name='stem_bn')(x)
    x = layers.ReLU(name='stem_relu')(x)
    return keras.Model(inputs, layers.Conv2D(6, 3, 2, name='last')(x), name='tiny')


def other(shape):
    """The same under another name."""
    network = tiny(shape)
    return keras.Model(network.input, network.output, name='other')


def world(folder):
    """Makes pictures of two classes, tables of them and lists."""
    for name, count in (('train', 12), ('val', 4), ('test', 4)):
        (folder / name).mkdir()
        with open(folder / f'{name}.csv', 'w', newline='') as file:
            rows = csv.writer(file)
            rows.writerow(['image', 'label', 'copy', 'kind'])
            for i in range(count):
                path = f'{name}/{i}.png'
                Image.fromarray(RNG.integers(0, 255, (30, 40, 3), np.uint8)).save(folder / path)
                rows.writerow([path, 'ab'[i % 2], f'./{path}', 'xyz'[i % 3]])
        rows = (folder / f'{name}.csv').read_text().splitlines()
        (folder / f'{name}_short.csv').write_text('\n'.join(rows[:-2]) + '\n')
    (folder / 'elsewhere').symlink_to(folder)
    (folder / 'gone.csv').write_text('image\nimage 0\nimage 3\n')
    (folder / 'names.json').write_text('["b", "a"]')
    (folder / 'copies.csv').write_text('group,split,image,label\n' + ''.join(
        f'0,train,train/{i}.png,a\n' for i in range(0, 8, 2)))
    (folder / 'clean.csv').write_text('image,label\n' + ''.join(
        f'train/{i}.png,{"ab"[i % 2]}\n' for i in range(4)))
    (folder / 'mixed.csv').write_text('image,label\n' + ''.join(
        f'train/{i}.png,{("bar 0°", "new")[i % 2]}\n' for i in range(4)))


@contextlib.contextmanager
def replaced(*changes):
    """Within the block attributes have other values: (owner, name, value) each."""
    with contextlib.ExitStack() as stack:
        for owner, name, value in changes:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield


def part_of(config):
    return stages.resolve(config)[0]


def source():
    """A source of the user's own."""
    splits = generated.load()
    return splits._replace(train=splits.train.subset(range(60)))


def data(config, place):
    splits = prepare.load(**config.data, seed=config.seed)
    return [(part.root, part.class_names, part.labels.tolist(),
             [part.name(i) for i in range(len(part))]) for part in splits if part is not None]


def cache(config, place):
    with replaced((index_cache, '_SMALLEST', 0)):
        data(config, place)
    return sorted(path.name for path in pathlib.Path(place / 'cache').glob('*'))


def readers(config, place):
    return prepare.load(**config.data, seed=config.seed).train.storage.readers


def packs(config, place):
    folder = place / f'{config.data.shard_images}-{config.part.replace("/", "-")}'
    pack.run(config, folder)
    return sorted(path.name for path in folder.rglob('shard*'))


def spread(config, place):
    """What an engine is told."""
    told = []
    with replaced((engine, 'spread', lambda task, arguments, settings, most: told.append(
            settings.to_dict()))):
        program.do('pack', config, place / 'spread', [])
    return told


def inspected(config, place):
    """Files that `inspect` writes."""
    folder = place / f'near-{config.inspect.near_copies}'
    inspect.run(config, folder)
    return sorted(path.name for path in folder.iterdir())


def packed_bytes(config, place):
    folder = place / f'{config.pack.side}-{config.pack.quality}'
    pack.run(config, folder)
    return sorted(path.read_bytes() for path in folder.rglob('checksums.npy'))


def verdicts(config, place):
    """What verify lists as bad of a good and a damaged JPEG, at which the decoder warns."""
    root = place / 'pictures'
    whole = encoded(picture(64, 64))
    middle = len(whole) * 2 // 3
    for name, image in (('a', whole), ('b', whole[:middle] + bytes(40) + whole[middle + 40:])):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / '0.jpg').write_bytes(image)
    config.data.root = str(root)
    verify.run(config, place / config.data.warned)
    return (place / config.data.warned / 'bad_images.csv').read_text()


def bad(config, place):
    found = train.bad_images_of(config, None)
    return found.on_error, found.max_fraction, found.max_pixels


def _batches(config):
    return Batches(part_of(config), 0, prepare.load(**config.data, seed=config.seed), {},
                   strategy.of_this_machine('one', 0), train.bad_images_of(config, None))


def batch(config, place):
    """The first training batch, whose images are pixels and order, crop and augmentation."""
    found = next(iter(_batches(config).training(0)))
    return [np.asarray(value).tobytes() for value in tf.nest.flatten(found)]


def policy(config, place):
    """The operations of AutoAugment, whose graph would take seconds to build."""
    found = []
    with replaced((augment, '_switch', lambda pairs, **_: found.append(pairs))):
        augment.build(augment.Augmentation(**config.augment))
    return found


def validation(config, place):
    return next(iter(_batches(config).validation)).crops[0].numpy().tobytes()


def loss(config, place):
    return build.make_loss(part_of(config), COUNTS).call(LABELS, LOGITS).numpy().tolist()


def memory(config, place):
    """Losses of images that are seen for the second time."""
    found = build.make_loss(part_of(config), COUNTS)
    for logits in (LOGITS, -2 * LOGITS):
        losses = found.call(LABELS, logits, np.arange(len(LABELS)))
    return losses.numpy().tolist()


def network(config, place):
    """Layers, and logits of one picture in training, where dropout counts."""
    train.set_up(config)
    model = make_model(part_of(config), 3, 3)
    norms = [(layer.synchronized, layer.momentum) for layer in model._flatten_layers()
             if isinstance(layer, layers.BatchNormalization)]
    pixels = np.random.default_rng(0).integers(0, 255, (2, 16, 16, 3)).astype('float32')
    return ([layer.name for layer in model._flatten_layers()], norms,
            [v.path for v in model.trainable_variables], model.layers[-2].compute_dtype,
            [type(layer).__name__ for layer in model.layers],
            np.asarray(model(pixels, training=True)).tolist())


def parted(config, place):
    """In how many parts a head is on two replicas."""
    with strategy.create('mirrored', 2).scope():
        division = choice.division(part_of(config), 6)
    return division and division.parts


def features(config, place):
    """Shapes of what is averaged at test time."""
    model = make_model(part_of(config), 3, 3)
    made = split_network.of(model, View(16, (16,)), config.model.features)
    return made.body.output.shape, made.head.output.shape


def determinism(config, place):
    tf_config.disable_op_determinism()
    train.set_up(config)
    return tf_config.is_op_determinism_enabled()


def devices(config, place):
    found = strategy.create(config.strategy, config.replicas)
    return type(found).__name__, found.num_replicas_in_sync


def _built(config):
    train.set_up(config)
    examples = types.SimpleNamespace(num_classes=3, channels=3, counts=COUNTS)
    part = part_of(config)
    return build.make_trainer(part, examples, View(16, (16,)), part.model.weights)


def weights(config, place):
    return [w.tolist() for w in _built(config).model.get_weights()]


def update(config, place):
    """Weights after two steps of the optimizer, with gradients that are the same for all."""
    steps = _built(config)
    variables = steps.model.trainable_variables
    for scale in (3.0, -1.0):
        steps.optimizer.apply([tf.fill(v.shape, scale) * (1 + v) for v in variables], variables)
    return [v.numpy().tolist() for v in variables]


def steps(config, place):
    made = _built(config)
    return (made.accumulate, len(made.sums), type(made._gradients_of).__name__,
            made.ema is not None)


def rates(config, place):
    found = schedule.of(part_of(config), 4)
    return [found.rate(step, drops) for step in range(16) for drops in (0, 2)]


class _ScriptedTrainer:
    """A network that learns by a script."""

    strategy = tf.distribute.get_strategy()
    accumulate, ema, variables, sums, batch_size = 1, None, [], [], 4
    optimizer = types.SimpleNamespace(learning_rate=0.0)
    val_error = types.SimpleNamespace(correct=tf.zeros(1), total=tf.zeros(1))

    def __init__(self):
        self.errors = itertools.chain(ERRORS, itertools.repeat(ERRORS[-1]))
        self.model = self.body = tiny((16, 16, 3))

    def train_step(self, batch, number, save, stop):
        return 0.0, save, stop

    def results(self):
        return {'loss': 0.0, 'mean_top1_error': 0.0}

    def evaluate(self, batches, on_batch=None):
        return {'val_loss': 0.0, 'val_mean_top1_error': next(self.errors)}

    def reset(self):
        pass


def loop(config, place):
    """Rows of the history, and the checkpoints, of a stage that goes by a script."""
    folder = place / 'loop' / str(len(list((place / 'loop').glob('*'))))
    folder.mkdir(parents=True)
    part = part_of(config)
    batches = types.SimpleNamespace(epoch_steps=4, validation=[], watched={},
                                    training=lambda start: itertools.repeat((tf.zeros([4]),)))
    Loop(part, folder, State(), _ScriptedTrainer(), batches, [], Terminated()).run()
    return ((folder / 'metrics.csv').read_text(),
            sorted(path.name for path in (folder / 'checkpoints').iterdir()))


def run(config, place):
    """Files of a run, its history, and batches of which statistics were estimated."""
    counts, estimate = [], averaging.Statistics.estimate
    folder = place / 'run' / str(len(list((place / 'run').glob('*'))))

    def noted(statistics, batches, count):
        counts.append(count)
        estimate(statistics, batches, count)

    with replaced((averaging.Statistics, 'estimate', noted)):
        train.train(config, folder)
    return (sorted(path.name for path in folder.iterdir()), counts,
            sorted(path.name for path in (folder / 'checkpoints').iterdir()))


def number_of_stages(config, place):
    return [part.epochs for part in stages.resolve(config)]


def tracked(config, place):
    job = types.SimpleNamespace(plan=types.SimpleNamespace(config=config), folder=place,
                                data=prepare.load('generated'), callbacks=())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, 'mlflow', mlflow_double([]))
        found = train._observers(job, config, None, 4)
    return [type(observer).__name__ for observer in found]
