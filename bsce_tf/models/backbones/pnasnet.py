"""PNASNet-5-Large.

Liu et al. 2018, "Progressive Neural Architecture Search" (arXiv 1712.00559): figure 1 for the
cell of five blocks and for the stack of cells, section 3.1 and table 2 for its sizes (N = 4,
F = 216). Layers have the names of timm's modules, so that its weights can be converted by name.
"""

import keras

from bsce_tf.models.backbones import input_shape as shapes
from bsce_tf.models.layers.batch_norm import FusedBatchNormalization
from bsce_tf.models.weights import Weights

EPSILON = 1e-3
BLOCKS = 5  # per cell, whose output is their concatenation


def convolve(x, filters, size, stride, name, padding='same'):
    """[b, h, w, c] -> [b, h', w', filters], padded as TensorFlow does."""
    return keras.layers.Conv2D(filters, size, stride, padding, use_bias=False,
                               kernel_initializer='he_normal', name=name)(x)


def normalise(x, name):
    """BatchNorm; shape unchanged."""
    return FusedBatchNormalization(momentum=0.9, epsilon=EPSILON, name=name)(x)


def relu(x, name):
    """ReLU; shape unchanged."""
    return keras.layers.ReLU(name=name)(x)


def pointwise(x, filters, name, stride=1):
    """ReLU, 1 x 1 convolution, BatchNorm: [b, h, w, c] -> [b, h', w', filters]."""
    x = convolve(relu(x, f'{name}.act'), filters, 1, stride, f'{name}.conv')
    return normalise(x, f'{name}.bn')


def separable(x, filters, size, name, stride=1, widen_first=False):
    """Two separable convolutions, [b, h, w, c] -> [b, h', w', filters]; the first has the stride.

    The second changes the width; in the first cell (`widen_first`), the first does.
    """
    middle = filters if widen_first else x.shape[-1]
    for number, width, step in ((1, middle, stride), (2, filters, 1)):
        part = f'{name}.separable_{number}'
        x = relu(x, f'{name}.act_{number}')
        x = keras.layers.DepthwiseConv2D(
            size, step, 'same', use_bias=False, depthwise_initializer='he_normal',
            name=f'{part}.depthwise_conv2d')(x)
        x = convolve(x, width, 1, 1, f'{part}.pointwise_conv2d')
        x = normalise(x, f'{name}.bn_sep_{number}')
    return x


def max_pool(x, stride, name):
    """3 x 3 maximum, [b, h, w, c] -> [b, h', w', c]; padding never counts."""
    return keras.layers.MaxPooling2D(3, stride, 'same', name=name)(x)


def shift(x, name):
    """Move the map up and left by one pixel and fill with zeros; shape unchanged."""
    x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), name=f'{name}.pad')(x)
    return keras.layers.Cropping2D(((1, 0), (1, 0)), name=f'{name}.crop')(x)


def factorised_reduction(x, filters, name):
    """[b, h, w, c] -> [b, h / 2, w / 2, filters]: half from even pixels, half from odd ones."""
    x = relu(x, f'{name}.act')
    even = convolve(x, filters // 2, 1, 2, f'{name}.path_1.conv')
    odd = convolve(shift(x, f'{name}.path_2'), filters // 2, 1, 2, f'{name}.path_2.conv')
    x = keras.layers.Concatenate(name=f'{name}.concat')([even, odd])
    return normalise(x, f'{name}.final_path_bn')


def combine(left, right, filters, stride, name, first=False):
    """The five blocks of a cell (figure 1, left), each the sum of two operations.

    Args:
        left: [b, h, w, c], the output of the cell before the last.
        right: [b, h, w, filters], the output of the last cell.
        filters: channels of each block.
        stride: 2 in a reduction cell, else 1.
        name: of the cell.
        first: for the very first cell, where `left` is the cell's input, of another width.

    Returns:
        [b, h', w', 5 * filters].
    """
    part = f'{name}.comb_iter_'
    add = [keras.layers.Add(name=f'{part}{i}') for i in range(BLOCKS)]

    pooled = max_pool(left, stride, f'{part}0_right.max_pool')
    if first:
        pooled = convolve(pooled, filters, 1, 1, f'{part}0_right.conv')
        pooled = normalise(pooled, f'{part}0_right.bn')
    block_0 = add[0]([separable(left, filters, 5, f'{part}0_left', stride, first), pooled])

    pooled = max_pool(right, stride, f'{part}1_right')
    block_1 = add[1]([separable(right, filters, 7, f'{part}1_left', stride), pooled])

    five = separable(right, filters, 5, f'{part}2_left', stride)
    three = separable(right, filters, 3, f'{part}2_right', stride)
    block_2 = add[2]([five, three])

    pooled = max_pool(right, stride, f'{part}3_right')
    block_3 = add[3]([separable(block_2, filters, 3, f'{part}3_left'), pooled])

    skip = right if stride == 1 else pointwise(right, filters, f'{part}4_right', stride)
    block_4 = add[4]([separable(left, filters, 3, f'{part}4_left', stride, first), skip])

    blocks = [block_0, block_1, block_2, block_3, block_4]
    return keras.layers.Concatenate(name=f'{name}.concat')(blocks)


def stem_cell(x, filters, name):
    """[b, h, w, c] -> [b, h / 2, w / 2, 5 * filters]: the first cell, with one input."""
    inputs = keras.Input(x.shape[1:], dtype=x.dtype, name=f'{name}.input')
    right = pointwise(inputs, filters, f'{name}.conv_1x1')
    outputs = combine(inputs, right, filters, 2, name, first=True)
    return keras.Model(inputs, outputs, name=name)(x)


def cell(left, right, filters, name, *, match, reduce):
    """([b, h1, w1, c1], [b, h, w, c]) -> [b, h', w', 5 * filters], halved if `reduce`.

    `match`: `left` is twice as large as `right`. The cell is a nested model, like the stem cell.
    """
    inputs = [
        keras.Input(x.shape[1:], dtype=x.dtype, name=f'{name}.{side}')
        for side, x in (('left', left), ('right', right))
    ]
    prepare = factorised_reduction if match else pointwise
    x = prepare(inputs[0], filters, f'{name}.conv_prev_1x1')
    y = pointwise(inputs[1], filters, f'{name}.conv_1x1')
    outputs = combine(x, y, filters, 2 if reduce else 1, name)
    return keras.Model(inputs, outputs, name=name)([left, right])


def pnasnet5large(
    input_shape=(331, 331, 3), *, filters=216, cells=4, stem_filters=96, name='pnasnet5large'
):
    """PNASNet-5-Large without its classifier: 81,736,668 trainable parameters, 4,320 features.

    Args:
        input_shape: (height, width, 3); height and width at least 96, or None for any.
        filters: F, channels of each block in the first stage, doubled in the next two; a multiple
            of 4.
        cells: N >= 1, cells in each of the three stages. The second and third stage begin with a
            reduction cell; two reduction cells precede the first stage.
        stem_filters: channels of the first convolution.
        name: the model's name.

    Returns:
        A `keras.Model` from normalised images [batch, height, width, 3] to the last feature map
        after its ReLU, [batch, about height / 32, about width / 32, 20 * filters].

    Raises:
        InputError: an image side under 96 pixels, or other than three channels.
    """
    shapes.check(input_shape, name)
    images = keras.Input(input_shape, name='images')
    x = convolve(images, stem_filters, 3, 2, 'conv_0.conv', padding='valid')
    x = normalise(x, 'conv_0.bn')
    left = stem_cell(x, filters // 4, 'cell_stem_0')
    right = cell(x, left, filters // 2, 'cell_stem_1', match=True, reduce=True)
    reduced = True
    for number in range(3 * cells):
        stage, position = divmod(number, cells)
        reduce = stage > 0 and position == 0
        width = filters * 2**stage
        output = cell(left, right, width, f'cell_{number}', match=reduced, reduce=reduce)
        left, right, reduced = right, output, reduce
    return keras.Model(images, relu(right, 'act'), name=name)


def small_pnasnet(input_shape=(96, 96, 3), *, name='small_pnasnet'):
    """PNASNet-5 with one cell per stage and 16 filters: 320 features, trainable on a CPU."""
    return pnasnet5large(input_shape, filters=16, cells=1, stem_filters=16, name=name)


WEIGHTS = {
    'pnasnet5large': Weights(
        repository='timm/pnasnet5large.tf_in1k',
        mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), size=331,
        interpolation='bicubic', crop_fraction=0.911, licence='apache-2.0', top1=82.782,
        source='huggingface/pytorch-image-models, results/results-imagenet.csv',
    ),
}
