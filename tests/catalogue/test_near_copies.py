"""Near-copies across splits, of photographs that come with scikit-image."""

import csv
import io
import json
import sys

import ml_collections
import numpy as np
import pytest
from PIL import Image

from bsce_tf.catalogue import hashes, inspect, near_copies
from bsce_tf.data.examples import Examples
from bsce_tf.errors import InputError

PHOTOS = ('astronaut', 'chelsea', 'coffee', 'rocket', 'camera', 'brick', 'grass', 'gravel')


def photo(name):
    from skimage import data

    return Image.fromarray(getattr(data, name)()).convert('RGB')


def encoded(image, kind='JPEG', **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def changed(image):
    """{what was done: the file}"""
    width, height = image.size
    return {'small': encoded(image.resize((width // 3, height // 3), Image.LANCZOS), quality=90),
            'large': encoded(image.resize((width * 2, height * 2), Image.BICUBIC)),
            'poor': encoded(image, quality=15), 'as PNG': encoded(image, 'PNG'),
            'bright': encoded(image.point(lambda value: 0.8 * value + 30))}


def independent(data):
    """The 256 numbers by Pillow, without their mean, of length 1, in float64."""
    grey = np.asarray(Image.open(io.BytesIO(data)).convert('RGB'), np.float64).mean(2)
    small = np.asarray(Image.fromarray(grey.astype(np.float32)).resize((16, 16), Image.BOX),
                       np.float64).reshape(-1)
    small -= small.mean()
    return small / np.linalg.norm(small)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Folder of train, of the photographs, and validation, of changed ones and others."""
    root = tmp_path_factory.mktemp('near')
    for split in ('train', 'val'):
        (root / split / 'a').mkdir(parents=True)
    for name in PHOTOS[:5]:
        (root / 'train' / 'a' / f'{name}.jpg').write_bytes(encoded(photo(name), quality=95))
    for name in PHOTOS[:2]:
        for what, data in changed(photo(name)).items():
            (root / 'val' / 'a' / f'{name} {what}.jpg').write_bytes(data)
    for name in PHOTOS[5:]:
        (root / 'val' / 'a' / f'{name}.jpg').write_bytes(encoded(photo(name)))
    mirrored = photo('coffee').transpose(Image.FLIP_LEFT_RIGHT)
    (root / 'val' / 'a' / 'coffee mirrored.jpg').write_bytes(encoded(mirrored))
    white = Image.new('RGB', (50, 50), 'white')
    (root / 'train' / 'a' / 'white.png').write_bytes(encoded(white, 'PNG'))
    (root / 'val' / 'a' / 'white.jpg').write_bytes(encoded(white))
    (root / 'val' / 'a' / 'equal.jpg').write_bytes((root / 'train/a/rocket.jpg').read_bytes())
    (root / 'val' / 'a' / 'text.jpg').write_bytes(b'no image')
    return root


def config_of(root, least, part='', max_pixels=0):
    return ml_collections.ConfigDict({
        'part': part, 'inspect': {'near_copies': least},
        'data': {'source': 'folder', 'root': str(root), 'max_pixels': max_pixels}})


def run(root, workdir, part='', least=0.99):
    inspect.run(config_of(root, least, part), workdir)
    if (workdir / 'inspect.json').exists():
        return json.loads((workdir / 'inspect.json').read_text())['near_copies']
    return None


def test_what_was_done_to_a_photograph_does_not_hide_it(files, tmp_path, capsys):
    found = run(files, tmp_path / 'run')
    with open(tmp_path / 'run' / 'near_copies.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert sorted((row['path_a'], row['path_b']) for row in rows) == sorted(
        (f'train/a/{name}.jpg', f'val/a/{name} {what}.jpg')
        for name in PHOTOS[:2] for what in changed(photo(name)))
    for row in rows:
        vectors = [independent((files / row[f'path_{end}']).read_bytes()) for end in 'ab']
        assert float(row['correlation']) == pytest.approx(float(vectors[0] @ vectors[1]), abs=2e-3)
        assert (row['split_a'], row['split_b'], row['label_b']) == ('train', 'validation', 'a')
    assert [row['correlation'] for row in rows] == sorted(
        (row['correlation'] for row in rows), reverse=True)
    assert found['pairs'] == len(rows)
    assert found['images'] == {'train': 2, 'validation': 10}
    assert found['not_decoded'] == {'train': 0, 'validation': 1}
    text = capsys.readouterr().out
    assert 'near-copies across splits, pairs: 10 (images: train 2, validation 10)' in text
    assert 'of validation not decoded and not compared: 1; bsce verify names them' in text
    assert 'recommended: see near_copies.csv: some images look like one of another set (2' in text


def test_parts_find_the_same_and_a_second_call_decodes_nothing(files, tmp_path, monkeypatch):
    run(files, tmp_path / 'whole')
    assert run(files, tmp_path / 'parts', '2/2') is None
    run(files, tmp_path / 'parts', '1/2')
    for name in ('near_copies.csv', 'inspect.json'):
        assert (tmp_path / 'whole' / name).read_bytes() == (tmp_path / 'parts' / name).read_bytes()
    decoded = []
    real = near_copies._decoded
    monkeypatch.setattr(near_copies, '_decoded', lambda *a: decoded.append(1) or real(*a))
    run(files, tmp_path / 'whole')
    assert len(decoded) == 1  # what is no image is tried again
    decoded.clear()
    inspect.run(config_of(files, 0.99, max_pixels=10**8), tmp_path / 'whole')
    assert len(decoded) > 10  # another limit


def test_training_images_alone_are_told_at_once(files, tmp_path, capsys):
    with pytest.raises(InputError, match='found training images alone; expected a set to compare'):
        run(files / 'train', tmp_path / 'run')
    run(files / 'train', tmp_path / 'run', least=0.0)
    printed = capsys.readouterr().out
    assert 'class weights' in printed
    assert 'near-copies' not in printed


def test_equal_files_do_not_hide_a_near_copy():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (16, 16, 1), np.uint8)
    near = np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8)
    images = np.stack([*[image] * 15, near])  # more than the neighbours that are compared
    splits = {'train': Examples(np.zeros(16), ('a',), images=images),
              'test': Examples(np.zeros(1), ('a',), images=image[None])}
    made, digests = ({split: hashes.digests(examples, progress=False, kind=kind)[0]
                      for split, examples in splits.items()}
                     for kind in (near_copies.kind(0), hashes.BYTES))
    (pair,) = near_copies.pairs(splits, made, digests, 0.99)
    assert pair[:2] == (('train', 15), ('test', 0))


def test_without_the_field_nothing_is_decoded_and_the_report_says_so(files, tmp_path, capsys):
    assert run(files, tmp_path / 'run', least=0.0) == {}
    assert not (tmp_path / 'run' / 'near_copies.csv').exists()
    assert 'not looked for; --config.inspect.near_copies=0.99' in capsys.readouterr().out


def test_without_faiss_its_extra_is_named(files, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'faiss', None)
    with pytest.raises(InputError, match='inspect.near_copies: needs faiss: pip install'):
        run(files, tmp_path / 'run')


def test_pairs_of_many_images_in_memory_equal_all_pairs_in_numpy(monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (400, 16, 16, 1), np.uint8)
    changed = np.clip(images[::4] + rng.normal(0, 6, (100, 16, 16, 1)), 0, 255).astype(np.uint8)
    splits = {'train': Examples(np.zeros(400), ('a',), images=images),
              'validation': Examples(np.zeros(100), ('a',), images=changed),
              'test': Examples(np.zeros(1), ('a',), images=np.zeros((1, 16, 16, 1), np.uint8))}
    kind = near_copies.kind(0)
    made = {split: hashes.digests(examples, progress=False, kind=kind)[0]
            for split, examples in splits.items()}
    digests = {split: hashes.digests(examples, progress=False)[0]
               for split, examples in splits.items()}
    found = near_copies.pairs(splits, made, digests, 0.99)
    vectors = [part.reshape(len(part), -1).astype(np.float64) for part in (images, changed)]
    correlations = np.corrcoef(*vectors)[:400, 400:]
    expected = {(int(i), int(j)): correlations[i, j] for i, j in np.argwhere(correlations >= 0.99)}
    assert len(expected) > 50
    assert {(i, j) for (_, i), (_, j), _ in found} == set(expected)
    for (one, i), (other, j), value in found:
        assert (one, other) == ('train', 'validation')
        assert value == pytest.approx(expected[i, j], abs=1e-5)
    monkeypatch.setitem(near_copies.kinds.LARGEST, 'exact', 10)  # an index in cells
    again = near_copies.pairs(splits, made, digests, 0.99)
    assert {pair[:2] for pair in again} <= {pair[:2] for pair in found}
    assert len(again) >= 0.9 * len(found)


def test_a_limit_of_pixels_holds(tmp_path):
    (tmp_path / 'large.png').write_bytes(encoded(Image.new('RGB', (30, 30)), 'PNG'))
    examples = Examples([0], ('a',), paths=np.array(['large.png'], 'S'), root=str(tmp_path))
    found, unreadable = hashes.digests(examples, progress=False, kind=near_copies.kind(100))
    assert not found.any()
    assert unreadable[0][0] == 'large.png'
