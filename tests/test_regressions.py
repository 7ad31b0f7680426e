"""What must not grow unnoticed: counts, not timings."""

import numpy as np
import pytest
import tensorflow as tf

from bsce_tf import losses
from bsce_tf.data.pipeline import Batch
from bsce_tf.data.sampler import Sampler
from bsce_tf.data.view import View
from bsce_tf.models import classifier, network
from bsce_tf.serving import graph
from bsce_tf.training import optimizers
from bsce_tf.training.trainer import Trainer

K = 997  # no other size in a graph is this


def operations(function):
    """Operations of a traced function and of all functions that it calls."""
    graph = function.graph.as_graph_def()
    return [*graph.node, *(node for part in graph.library.function for node in part.node_def)]


@pytest.mark.parametrize('name', ['ce', 'bce', 'sce', 'bsce'])
def test_the_loss_goes_over_the_logits_in_four_operations(name):
    loss = losses.by_name(name, np.ones(K))

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.int32),
                                                   tf.TensorSpec([None, K], tf.float32)])
    def both(labels, logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = tf.reduce_mean(loss.call(labels, logits))
        return tape.gradient(value, logits)

    graph = both.get_concrete_function().graph
    large = [operation.type for operation in graph.get_operations()
             for output in operation.outputs if output.shape.rank == 2 and output.shape[1] == K
             and output.consumers()  # what nobody reads does not run
             and operation.type not in ('Placeholder', 'Reshape', 'IdentityN')]  # no copies
    # One exponential, no one-hot labels, and each writes where the one before it did: the last as
    # long as it is no TensorScatterSub.
    assert large == ['Sub', 'Exp', 'Mul', 'ScatterNdNonAliasingAdd']
    assert len(graph.get_operations()) <= 117


def test_tables_of_the_sampler_are_one_number_an_image_and_four_a_class():
    images, classes = 20_000, 500
    labels = np.arange(images) % classes
    sampler = Sampler(labels, classes, gamma=0.5)
    tables = [value for value in vars(sampler).values() if isinstance(value, tf.Tensor)]
    assert sum(table.shape.num_elements() for table in tables) <= images + 4 * classes + 2
    assert max(table.dtype.size for table in tables) == 8


@pytest.fixture(scope='module')
def model():
    return classifier.build('small_resnet', 5, image_size=24)


def test_an_epoch_retraces_a_step_once_for_its_short_last_batch(model):
    made = Trainer(model, View(24, (24,)), optimizers.make(model, optimizers.Settings('sgd')),
                   losses.by_name('ce', None), 4)
    images, labels = np.zeros((4, 24, 24, 3), np.uint8), np.arange(4, dtype=np.int32)
    for _ in range(2):  # epochs
        made.reset()
        for size in (4, 4, 4, 1):
            made.train_step((tf.constant(images[:size]), tf.constant(labels[:size])))
        made.evaluate([Batch((tf.constant(images[:size, None]),), tf.constant(labels[:size]),
                             tf.ones(size), tf.range(size)) for size in (4, 4, 3, 2)])
    assert made._step.experimental_get_tracing_count() == 2
    assert made._test.experimental_get_tracing_count() == 2


def test_more_scales_decode_no_image_again(model):
    found = {}
    for scales in ((26,), (24, 26, 28, 30, 32)):
        module = graph.Graph([graph.Member(network.of(model, View(24, scales)))], list('abcde'))
        traced = module.signatures()['serving_default'].get_concrete_function()
        found[scales] = [node.op for node in operations(traced)]
    one, five = (sorted(op for op in ops if op.startswith('Decode')) for ops in found.values())
    assert one == five
    assert one.count('DecodeJpeg') == 2  # small images several at once, large ones alone
    resizes = [sum('Scale' in op or 'Resize' in op for op in ops) for ops in found.values()]
    assert resizes[1] == resizes[0] + 2 * 4
