"""Config of a run of seconds, of which tests that train take their own copy."""

import functools
import importlib

from bsce_tf.models import backbones
from bsce_tf.models.backbones import small

# One block instead of three: most of the time of a short run is the tracing of its network.
NETWORK = backbones.Backbone(functools.partial(small.small_resnet, widths=(24,), name='one_block'),
                             24, small.normalisation(28), None, smallest=8)


def smoke(**fields):
    """Config of configs/smoke.py with a smaller network, and fields by their dotted names."""
    config = importlib.import_module('configs.smoke').get_config()
    config.update_from_flattened_dict({'model.backbone': f'{__name__}:NETWORK', **fields})
    return config
