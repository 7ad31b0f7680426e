"""evaluate(config, workdir): the errors of a trained run."""

import math

import keras

from bsce_tf import files, metrics
from bsce_tf.data import label_map, prepare
from bsce_tf.models import classifier
from bsce_tf.training import strategy, train, workdir


def evaluate(config, folder):
    """Evaluates the best weights of a run on its test set, or else on its validation set.

    Writes eval.json: see `metrics.summary`; NaN is null there.

    Args:
      config: ConfigDict of the run.
      folder: of the run.

    Returns:
      The dict that eval.json holds.

    Raises:
      InputError: if the folder holds no trained run of this config, or the classes differ.
    """
    folder = workdir.read(folder).folder
    devices = strategy.create(config.strategy, config.replicas)
    keras.mixed_precision.set_dtype_policy(config.precision)
    data = prepare.load(**config.data, seed=config.seed)
    classes = folder / workdir.CLASSES
    label_map.check(label_map.load(classes), data.train.class_names, classes, data.train.origin)
    labelled_test = data.test is not None and data.test.labelled
    name, examples = ('test', data.test) if labelled_test else ('validation', data.validation)
    with devices.scope():
        model = train.make_model(config, data.train.num_classes, data.train.channels)
        classifier.load_weights(model, folder / workdir.WEIGHTS)
        metric = metrics.MeanTop1Error(data.train.num_classes)
        model.compile(loss=train.make_loss(config.loss, data.train.counts), metrics=[metric],
                      jit_compile=config.jit_compile)
        bad = train.bad_images_of(config, folder)
        with bad.raising():
            model.evaluate(train.evaluation_batches(config, examples, bad))
    errors = metrics.summary(metric.correct.numpy(), metric.total.numpy(), data.train.counts)
    result = {'split': name, **{k: None if isinstance(v, float) and math.isnan(v) else v
                                for k, v in errors.items()}}
    files.write_json(folder / workdir.EVALUATION, result)
    print(f'{folder}: mean top-1 error {result["mean_top1_error"]:.4f} on the {name} set')
    return result
