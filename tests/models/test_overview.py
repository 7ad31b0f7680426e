import json

import keras
import pytest

from bsce_tf.models import backbones, overview

SIZES = json.loads(overview.SIZES.read_text())
# Published for the whole network, in 10⁹ multiply-adds at the native size, by timm's tables; the
# heads' 2 to 4 million are left out here.
PUBLISHED = {'pnasnet5large': 24.94, 'senet154': 20.69, 'resnest50': 5.37, 'resnest101': 13.32,
             'resnest200': 35.52, 'resnest269': 77.35, 'nasnetlarge': 23.78}
PARAMETERS = {'pnasnet5large': 81_736_668, 'senet154': 113_039_984, 'legacy_senet154': 113_039_984,
              'resnest50': 25_434_240, 'resnest101': 46_226_016, 'resnest200': 68_152_544,
              'resnest269': 108_880_480, 'nasnetlarge': 84_720_150,
              'efficientnet_lite0': 3_371_008}


def test_every_backbone_is_measured():
    assert SIZES.keys() == backbones.BACKBONES.keys()


def test_the_originals_sizes():
    for name, gmac in PUBLISHED.items():
        assert SIZES[name]['gmac'] == pytest.approx(gmac, abs=0.02), name
    for name, parameters in PARAMETERS.items():
        assert SIZES[name]['parameters'] == parameters, name


@pytest.mark.parametrize('name', ['small_resnet', 'efficientnet_lite0', 'resnest50'])
def test_the_file_is_what_is_built(name):
    row = backbones.get(name)
    size = overview.measure(row.build((row.weights.size, row.weights.size, 3)))
    assert size['parameters'] == SIZES[name]['parameters']
    assert size['gmac'] == pytest.approx(SIZES[name]['gmac'], abs=1e-4)


def test_multiply_adds_by_hand():
    images = keras.Input((8, 8, 4))
    x = keras.layers.Conv2D(6, 3, 2, 'same', groups=2)(images)  # 4·4 places · 3·3·2·6
    x = keras.layers.DepthwiseConv2D(5, padding='same')(x)      # 4·4 · 5·5·6
    x = keras.layers.SeparableConv2D(7, 3, padding='same')(x)   # 4·4 · (3·3·6 + 6·7)
    inner = keras.Model(images, keras.layers.BatchNormalization()(x))
    x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(inner(images)))  # 7·3
    size = overview.measure(keras.Model(images, x))
    assert size['gmac'] * 1e9 == pytest.approx(16 * (108 + 150 + 54 + 42) + 21)


def test_table():
    header, *lines = overview.table().splitlines()
    assert [line.split()[0] for line in lines] == list(backbones.BACKBONES)
    assert header.split()[:3] == ['backbone', 'parameters', 'GMAC']
    (line,) = [line for line in lines if line.startswith('pnasnet5large')]
    assert line.split()[1:8] == ['81,736,668', '24.93', '331', '96', '4,320', '82.8', 'apache-2.0']
    (line,) = [line for line in lines if line.startswith('small_resnet')]
    assert line.split()[3:] == ['28', '8', '64', '–', '–', '–']


def test_a_row_that_nobody_measured_is_in_the_table(monkeypatch):
    row = backbones.BACKBONES['small_resnet']
    monkeypatch.setitem(backbones.BACKBONES, 'new', row._replace(feature_dim=None))
    (line,) = [line for line in overview.table().splitlines() if line.startswith('new ')]
    assert line.split()[1:] == ['–', '–', '28', '8', '–', '–', '–', '–']


def test_mode_prints_it(capsys):
    overview.run(None, None)
    printed = capsys.readouterr().out
    assert printed.startswith(overview.table())
    assert 'parameters: trainable, without the head' in printed
