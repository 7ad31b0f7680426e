"""Networks from images to feature maps: one file per family, and the table of their names."""

from bsce_tf.models.backbones.table import BACKBONES, Backbone, check_size, get

__all__ = ['BACKBONES', 'Backbone', 'check_size', 'get']
