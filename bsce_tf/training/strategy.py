"""config.strategy → tf.distribute.Strategy, and the model class that goes with it."""

import keras
import tensorflow as tf

from bsce_tf.errors import InputError

NAMES = ('auto', 'one', 'mirrored')


def create(name='auto', replicas=0):
    """The strategy for this machine. Call it before anything else of TensorFlow runs.

    Args:
      name: 'one': one device; 'mirrored': MirroredStrategy; 'auto': mirrored where there are
        several GPUs or replicas, else one device.
      replicas: how many devices to mirror over; 0: all GPUs, or one CPU device. Without a GPU,
        the CPU is divided into that many logical devices.

    Returns:
      tf.distribute.Strategy.

    Raises:
      InputError: if the name is unknown or there are fewer GPUs than replicas.
    """
    if name not in NAMES:
        raise InputError(f"strategy: found '{name}'; expected one of {', '.join(NAMES)}.")
    devices = _devices(replicas)
    if name == 'one' or (name == 'auto' and len(devices) == 1):
        return tf.distribute.OneDeviceStrategy(devices[0])
    return tf.distribute.MirroredStrategy(devices)


@keras.saving.register_keras_serializable('bsce_tf')
class DistributedModel(keras.Model):
    """A functional model that can be built from batches which replicas share unevenly.

    Keras averages the parts of the first batch over the replicas to learn its shape; that fails
    where they differ in size, as with a short last batch. One part tells as much.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if iterator is not None:
            for _, _, batches in iterator:
                data_batch = keras.tree.map_structure(
                    lambda part: self.distribute_strategy.experimental_local_results(part)[0],
                    next(batches))
                break
        super()._maybe_symbolic_build(data_batch=data_batch)


def _devices(replicas):
    gpus = tf.config.list_logical_devices('GPU') if tf.config.list_physical_devices('GPU') else []
    if gpus:
        if replicas > len(gpus):
            raise InputError(f'replicas: found {replicas}; expected at most {len(gpus)}, the GPUs '
                             'of this machine.')
        return [gpu.name for gpu in gpus[:replicas or None]]
    wanted = max(replicas, 1)
    cpu = tf.config.list_physical_devices('CPU')[0]
    if len(tf.config.get_logical_device_configuration(cpu) or [0]) < wanted:
        try:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * wanted)
        except RuntimeError as error:  # TensorFlow has begun with fewer
            raise InputError(f'replicas: found {replicas}, but TensorFlow already runs on another '
                             'number of devices; expected to be set at the start.') from error
    return [device.name for device in tf.config.list_logical_devices('CPU')[:wanted]]
