import struct
import zlib

import numpy as np
from PIL import Image

from tests.serving.exported import ask_c_api, encoded, pictures

MB = 2**20


def bomb(side=30_000):
    """A PNG whose header promises more than may be decoded."""
    header = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
    chunk = b'IHDR' + header
    return (b'\x89PNG\r\n\x1a\n' + struct.pack('>I', len(header)) + chunk
            + struct.pack('>I', zlib.crc32(chunk)) + b'\0' * 100)


BAD = {'empty': b'', 'text': b'no image at all', 'zeros': bytes(2000),
       'truncated JPEG': pictures()[4][:-200], 'truncated PNG': pictures()[0][:300],
       'bomb': bomb()}


def unusual():
    """Images of kinds that a shop's camera does not make."""
    pixels = np.asarray(Image.linear_gradient('L').resize((40, 30)))
    alpha = np.dstack([pixels] * 4)
    return {'grey JPEG': encoded(pixels, 'JPEG'), 'grey PNG': encoded(pixels),
            'CMYK': encoded(Image.fromarray(alpha, 'CMYK'), 'JPEG'), 'alpha': encoded(alpha),
            'palette': encoded(Image.fromarray(pixels).convert('P')),
            '16 bits': encoded(pixels.astype(np.uint16) * 257),
            'one pixel': encoded(pixels[:1, :1]), 'one row': encoded(pixels[:1])}


def noise(count, seed=0):
    """Random bytes, some behind the first bytes of an image; images with a few bytes changed."""
    rng = np.random.default_rng(seed)
    starts = [b'', b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n', b'GIF89a', b'BM',
              *(b'RIFF\x80\0\0\0WEBPVP8' + kind for kind in (b' ', b'L', b'X'))]
    whole = [np.frombuffer(x, np.uint8) for x in pictures()]
    for i in range(count):
        if i % 2:
            yield starts[rng.integers(len(starts))] + rng.bytes(int(rng.integers(0, 400)))
        else:
            data = whole[rng.integers(len(whole))].copy()
            places = rng.integers(0, len(data), int(rng.integers(1, 9)))
            data[places] = rng.integers(0, 256, len(places))
            yield data.tobytes()


def test_a_bad_image_fails_the_request_and_its_place_is_named(single):
    good = pictures()
    requests = [[good[0], bad, b'', good[1]] for bad in BAD.values()]
    answers, _ = ask_c_api(single, [*requests, [], good])
    for name, answer in zip(BAD, answers, strict=False):
        assert isinstance(answer, str), name
        assert 'image_bytes[1] is not a JPEG, PNG, WebP, GIF or BMP image' in answer, name
        assert '100000000 pixels' in answer
    assert answers[-2]['scores'].size == 0
    assert answers[-1]['scores'].shape == (5, 5)


def test_a_bad_image_fails_alone(pair):
    good = pictures()
    request = [good[0], *BAD.values(), good[1]]
    (answer, alone, every), _ = ask_c_api(pair, [request, [good[0], good[1]], list(BAD.values())])
    bad = slice(1, 1 + len(BAD))
    assert set(answer['class_names'][bad].ravel()) == {''}
    assert set(answer['class_ids'][bad].ravel()) == {-1}
    assert not answer['scores'][bad].any()
    assert not answer['votes'][bad].any()
    for name in ('class_names', 'class_ids', 'votes'):
        assert answer[name][[0, -1]].tolist() == alone[name].tolist()
    np.testing.assert_allclose(answer['scores'][[0, -1]], alone['scores'], atol=1e-6)
    assert set(every['class_ids'].ravel()) == {-1}
    (features,), _ = ask_c_api(pair, [request], 'features')
    assert not features['features_2'][bad].any()
    assert features['features_2'][-1].any()


def test_unusual_images_get_an_answer(pair):
    kinds = unusual()
    (answer,), _ = ask_c_api(pair, [list(kinds.values())])
    assert answer['class_ids'].min() >= 0
    np.testing.assert_allclose(answer['scores'].sum(1), np.ones(len(kinds)), atol=1e-5)


def test_random_bytes_never_crash_it_and_memory_stays(single, pair):
    images = list(noise(400))
    answers, rss = ask_c_api(pair, [images[i:i + 10] for i in range(0, 400, 10)])
    assert all(isinstance(answer, dict) for answer in answers)
    ids = np.concatenate([answer['class_ids'] for answer in answers])
    assert 0 < (ids[:, 0] < 0).sum() < 400  # some bytes changed do no harm
    assert rss[-1] - rss[len(rss) // 4] < 40 * MB
    answers, rss = ask_c_api(single, [[image] for image in images[:200]])
    assert sum(isinstance(answer, str) for answer in answers) == (ids[:200, 0] < 0).sum()
    assert rss[-1] - rss[len(rss) // 4] < 40 * MB
