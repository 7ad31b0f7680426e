"""Near-duplicates against a comparison of all pairs."""

import csv

import numpy as np
import pytest

from bsce_tf.audit import duplicates
from bsce_tf.data.examples import Examples


def _features(images=600, width=24, seed=0):
    """Non-negative features of which the last 30 are those of others with a little noise."""
    rng = np.random.default_rng(seed)
    features = np.maximum(rng.normal(1, 1, (images, width)), 0)
    features[-30:] = features[:30] + rng.normal(0, 0.05, (30, width))
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


def _all_pairs(features, similarity):
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    cosines = np.triu(centred @ centred.T, 1)
    return {(int(a), int(b)): cosines[a, b] for a, b in np.argwhere(cosines >= similarity)}


@pytest.mark.parametrize('inverted', [False, True])
def test_pairs_are_those_of_a_comparison_of_all(inverted, monkeypatch):
    if inverted:
        monkeypatch.setattr(duplicates, '_EXACT', 100)
    monkeypatch.setattr(duplicates, '_QUERIES', 256)
    features = _features()
    first, second, cosines = duplicates.pairs(features, np.ones(600, bool), 0.95)
    expected = _all_pairs(features, 0.95)
    assert len(expected) >= 25
    found = dict(zip(zip(first.tolist(), second.tolist(), strict=True), cosines, strict=True))
    near = {pair for pair, cosine in expected.items() if abs(cosine - 0.95) < 1e-3}
    assert set(found) - near == set(expected) - near
    for pair, cosine in found.items():
        assert cosine == pytest.approx(expected.get(pair, 0.95), abs=2e-3)
    assert (np.diff(cosines) <= 0).all()


@pytest.mark.parametrize('inverted', [False, True])
def test_the_same_image_twice_is_found_at_a_cosine_of_1(inverted, monkeypatch):
    if inverted:
        monkeypatch.setattr(duplicates, '_EXACT', 100)
    features = _features()
    features[-100:] = features[:100]
    first, second, cosines = duplicates.pairs(features.astype(np.float16), np.ones(600, bool), 1.0)
    assert set(zip(first.tolist(), second.tolist(), strict=True)) >= {
        (i, 500 + i) for i in range(100)}
    assert cosines == pytest.approx(1.0, abs=1e-6)


def test_bad_images_take_no_part():
    features, good = _features(), np.ones(600, bool)
    good[:10] = False
    features[:10] = np.nan
    first, second, _ = duplicates.pairs(features, good, 0.95)
    assert first.min() >= 10
    assert {(i, 570 + i) for i in range(10, 30)} <= set(
        zip(first.tolist(), second.tolist(), strict=True))


def test_wide_features_are_averaged_and_keep_their_cosines():
    rng = np.random.default_rng(1)
    crops = np.maximum(rng.normal(0, 1, (40, 3, 2048)), 0).astype(np.float32)
    crops[20:] = crops[:20] + rng.normal(0, 0.1, (20, 3, 2048))
    found = duplicates.projected(crops).numpy()
    assert (found.shape, found.dtype) == ((40, duplicates.WIDTH), np.float16)
    mean = crops.mean(axis=1, dtype=np.float64)
    _, _, cosines = duplicates.pairs(found, np.ones(40, bool), 0.9)
    expected = _all_pairs(mean / np.linalg.norm(mean, axis=1, keepdims=True), 0.9)
    assert len(cosines) == len(expected) == 20
    np.testing.assert_allclose(np.sort(cosines), np.sort(list(expected.values())), atol=0.02)
    narrow = duplicates.projected(crops[:, :, :16]).numpy()
    mean = crops[:, :, :16].mean(axis=1)
    np.testing.assert_allclose(narrow, mean / np.linalg.norm(mean, axis=1, keepdims=True),
                               atol=1e-3)


def test_the_file_tells_labels_and_whether_they_are_the_same(tmp_path):
    train = Examples([0, 1, 1], ('boots', 'bags, "big"'), paths=np.array(
        [b'a.jpg', 'é.jpg'.encode(), b'c.jpg']))
    duplicates.write(tmp_path, train, (np.array([0, 1]), np.array([2, 2]), np.array([1.0, 0.985])))
    with open(tmp_path / duplicates.NAME, newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {'path_a': 'a.jpg', 'label_a': 'boots', 'path_b': 'c.jpg',
                       'label_b': 'bags, "big"', 'similarity': '1.0000', 'same_label': 'no'}
    assert (rows[1]['path_a'], rows[1]['same_label']) == ('é.jpg', 'yes')
