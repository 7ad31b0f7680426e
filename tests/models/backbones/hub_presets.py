"""Tiny presets of KerasHub with random weights, as `save_to_preset` writes them."""

import numpy as np

SIDE = 32  # pixels of their images
SCALE, OFFSET = (0.02, 0.01, 0.005), (-2.5, -1.0, 0.5)  # of the image converter, by channel
SMALL = {'num_layers': 2, 'num_heads': 2, 'hidden_dim': 8, 'intermediate_dim': 16}
PATCHES = {'patch_size': 8, 'image_shape': (SIDE, SIDE, 3)}
CELLS = {'stackwise_kernel_sizes': [3, 3], 'stackwise_num_repeats': [1, 1],
         'stackwise_input_filters': [8, 8], 'stackwise_output_filters': [8, 16],
         'stackwise_expansion_ratios': [1, 4], 'stackwise_strides': [1, 2],
         'stackwise_squeeze_and_excite_ratios': [0.0, 0.25],
         'stackwise_block_types': ['fused', 'unfused'], 'width_coefficient': 1.0,
         'depth_coefficient': 1.0}
BOTTLENECKS = {'input_conv_filters': [64], 'input_conv_kernel_sizes': [7],
               'stackwise_num_filters': [64, 64], 'stackwise_num_blocks': [1, 1],
               'stackwise_num_strides': [1, 2], 'block_type': 'bottleneck_block'}
TEXT = {'vocabulary_size': 16, 'embedding_dim': 8, **SMALL}


def networks(models):
    """{name: (beginning of its classes' names, function that makes it)}; `models` is KerasHub's."""
    vit = {k: v for k, v in SMALL.items() if k != 'intermediate_dim'}
    return {
        'vit': ('ViT', lambda: models.ViTBackbone(mlp_dim=16, **vit, **PATCHES)),
        'dinov2': ('DINOV2', lambda: models.DINOV2Backbone(
            num_register_tokens=2, position_embedding_shape=(48, 48, 3), **SMALL, **PATCHES)),
        'dinov3': ('DINOV3', lambda: models.DINOV3Backbone(**SMALL, **PATCHES)),
        'siglip': ('SigLIP', lambda: models.SigLIPBackbone(
            models.SigLIPVisionEncoder(**SMALL, **PATCHES), models.SigLIPTextEncoder(**TEXT))),
        'clip': ('CLIP', lambda: models.CLIPBackbone(
            models.CLIPVisionEncoder(**SMALL, **PATCHES), models.CLIPTextEncoder(**TEXT),
            projection_dim=8)),
        'efficientnet': ('EfficientNet', lambda: models.EfficientNetBackbone(**CELLS)),
        'resnet': ('ResNet', lambda: models.ResNetBackbone(**BOTTLENECKS))}


def draw(network, seed=0):
    """Gives a network weights that all count, statistics of BatchNorm too."""
    rng = np.random.default_rng(seed)
    for variable in network.weights:
        low, high = (0.5, 1.5) if variable.path.endswith(('variance', 'gamma')) else (-0.2, 0.2)
        if variable.name != 'position_ids':
            variable.assign(rng.uniform(low, high, variable.shape))
        else:
            variable.assign(np.arange(variable.shape[-1])[None])


def write(folder, name):
    """Writes one preset into a folder, backbone and image converter, and gives the folder."""
    import keras_hub
    kind, make = networks(keras_hub.models)[name]
    network = make()
    draw(network)
    network.save_to_preset(str(folder))
    converter = getattr(keras_hub.layers, f'{kind}ImageConverter')
    converter(image_size=(SIDE, SIDE), scale=list(SCALE), offset=list(OFFSET)).save_to_preset(
        str(folder))
    return folder
