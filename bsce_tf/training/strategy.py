"""config.strategy → tf.distribute.Strategy."""

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
