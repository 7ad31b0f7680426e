import pickle
import time

import numpy as np
import pyarrow as pa
import pytest

from bsce_tf.data import texts

WORDS = [b'a', b'', 'ü/é.jpg'.encode(), b'x' * 300, b'a', b'ab', b'']


@pytest.fixture(params=['list', 'array', 'arrow', 'slice of arrow', 'chunks'])
def found(request):
    if request.param == 'list':
        return texts.of(WORDS)
    if request.param == 'array':
        return texts.of(np.array(WORDS))
    if request.param == 'arrow':
        return texts.of_arrow(pa.array(WORDS, pa.binary()))
    if request.param == 'slice of arrow':
        return texts.of_arrow(pa.array([b'before', *WORDS, b'after'], pa.binary()).slice(1, 7))
    return texts.of_arrow(pa.chunked_array([WORDS[:2], WORDS[2:]], pa.binary()))


def test_texts_are_as_the_list_that_they_were_made_of(found):
    assert len(found) == 7
    assert found.tolist() == list(found) == WORDS
    assert [found[i] for i in range(-7, 7)] == WORDS + WORDS
    assert found[np.array(3)] == found[np.int32(3)] == WORDS[3]
    assert found[2:5].tolist() == WORDS[2:5]
    assert found[np.array([3, 3, -1, 0])].tolist() == [WORDS[i] for i in (3, 3, 6, 0)]
    assert found[np.array([True, False] * 3 + [True])].tolist() == WORDS[::2]
    assert found[np.array([], int)].tolist() == found[:0].tolist() == []
    assert pickle.loads(pickle.dumps(found)).tolist() == WORDS
    np.testing.assert_array_equal(found, np.array(WORDS))
    assert found.lengths.tolist() == list(map(len, WORDS))
    assert found.changed([1, 3], [b'y', b'z']).tolist() == [b'a', b'y', WORDS[2], b'z', *WORDS[4:]]
    assert texts.joined([found, found[:1], texts.of([])]).tolist() == [*WORDS, b'a']
    others = texts.of([b'b', *WORDS[1:6], b'-'])
    assert found.same(others).tolist() == [False] + [True] * 5 + [False]
    with pytest.raises(IndexError):
        found[7]


def test_equal_texts_have_one_number_wherever_they_lie(monkeypatch):
    """Blocks of other widths give a text the same hash."""
    monkeypatch.setattr(texts, '_BLOCK', 3)
    rng = np.random.default_rng(0)
    words = [bytes(rng.integers(97, 99, rng.integers(0, 20))) for _ in range(500)]
    expected = np.unique(np.array(words), return_inverse=True)[1]
    for _ in range(2):
        found = texts.numbers(texts.of(words))
        np.testing.assert_array_equal(found[:, None] == found, expected[:, None] == expected)
        monkeypatch.setattr(texts.Texts, 'hashes', lambda self: self.lengths.astype(np.uint64))


def test_hashes_of_much_alike_paths_differ():
    words = texts.of([b'train/%d/%d.jpg' % (i // 100, i) for i in range(200_000)]
                     + [b'x' * i for i in range(1000)])
    assert len(np.unique(words.hashes())) == 201_000


def test_a_million_paths_take_half_more_than_their_bytes_also_beside_a_long_one():
    paths = [b'train/%05d/%07d.jpg' % (i % 50_000, i) for i in range(1_000_000)]
    paths[7] = b'x' * 1500
    found = texts.of(paths)
    assert found.nbytes <= 1.5 * sum(map(len, paths))
    order = np.random.default_rng(0).permutation(1_000_000)[:100_000]
    begun = time.perf_counter()
    chosen = found[order]
    assert time.perf_counter() - begun < 2  # it takes 0.03 s on one core that is free
    assert chosen.tolist() == [paths[i] for i in order]
    order = order[:20_000].tolist()
    begun = time.perf_counter()
    assert [found[i] for i in order] == [paths[i] for i in order]
    assert time.perf_counter() - begun < 2
