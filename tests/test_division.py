"""Parts of inspect, verify and pack; for predict see evaluation/test_predict_parts.py."""

import ml_collections
import numpy as np
import pytest
from PIL import Image

from bsce_tf import config_check, division, locks, recipes
from bsce_tf.catalogue import hash_parts, inspect, pack, verify
from bsce_tf.data import bad_images
from bsce_tf.errors import InputError, InUseError
from tests.catalogue import packs


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize('count', [1, 2, 3, 7, 40])
@pytest.mark.parametrize(('total', 'step'), [(25, 1), (25, 8), (64, 32), (1, 32)])
def test_parts_have_every_number_once_in_whole_steps(count, total, step):
    spans = [part.span(total, step) for part in division.of(f'1/{count}').all]
    assert [number for first, end in spans for number in range(first, end)] == list(range(total))
    assert all(first % step == 0 for first, end in spans if first < end)
    sizes = [-(-(end - first) // step) for first, end in spans]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize('text', ['0/3', '4/3', '3', '1/', '/2', '-1/2', '1/100001', 'a/b'])
def test_what_is_no_part_is_refused(text):
    config = recipes.defaults()
    config.part = text
    with pytest.raises(InputError, match=r"part: found '.*'; expected i/n, as '3/10'"):
        config_check.check(config, 'pack')


@pytest.mark.parametrize('order', [[1, 2, 3], [3, 1, 2], [2, 2, 1, 3]])
def test_a_pack_in_parts_is_that_of_one_process(tmp_path, order):
    examples = packs.examples_in(tmp_path / 'images')
    pack.pack(examples, tmp_path / 'whole', 4, progress=False)
    for number in order:
        told = pack.pack(examples, tmp_path / 'parts', 4, progress=False,
                         part=division.Division(number, 3))
        assert (told is None) == ((tmp_path / 'parts' / 'pack.json').exists() is False)
    assert told['packed'] == packs.COUNT
    assert files_in(tmp_path / 'parts') == files_in(tmp_path / 'whole')


def test_a_part_writes_its_shards_alone_beside_others_that_run(tmp_path, capsys):
    examples, folder = packs.examples_in(tmp_path / 'images'), tmp_path / 'pack'
    first, second = division.of('1/2').all
    theirs, mine = (f'.4194999-0123456789abcdef0123456789abcdef.shard-0000{number}-of-00005'
                    '.array_record' for number in (3, 0))
    with second.held(folder):
        for name in (theirs, mine):  # of processes that are no more, or run on other machines
            (folder / name).touch()
        pack.pack(examples, folder, 5, progress=False, part=first)
        for part in (second, division.WHOLE):
            with pytest.raises(InUseError):
                pack.pack(examples, folder, 5, progress=False, part=part)
    assert 'this part is done. Not done yet: 2. The part that' in capsys.readouterr().out
    assert len(list(folder.glob('shard*.array_record'))) == 2
    assert (folder / theirs).exists()
    assert not (folder / mine).exists()
    with pytest.raises(InputError, match='begun in 2 parts; expected part i/2, or none'):
        pack.pack(examples, folder, 5, progress=False, part=division.Division(1, 3))
    with locks.held(folder, '.join-pack.lock'):
        assert pack.pack(examples, folder, 5, progress=False, part=second) is None
    assert 'another process joins them' in capsys.readouterr().out
    assert pack.pack(examples, folder, 5, progress=False, part=first)['packed'] == packs.COUNT
    assert not list(folder.glob('.*'))


def test_all_parts_together_may_leave_out_so_many_images(tmp_path):
    examples = packs.examples_in(tmp_path / 'images')
    for i in (1, 2, 20, 21):
        (tmp_path / 'images' / f'{i}.jpg').unlink()

    def run(part, fraction):
        bad = bad_images.BadImages('skip', fraction, report=tmp_path / 'bad.csv')
        bad.found_before = lambda *_: None  # as if all parts began at one time
        return pack.pack(examples, tmp_path / 'pack', 5, progress=False, bad=bad,
                         part=division.of(part))

    assert run('1/2', 0.1) is None
    with pytest.raises(InputError, match='4 bad images of 25; expected at most data.max_bad_fr'):
        run('2/2', 0.1)
    assert not (tmp_path / 'pack' / 'pack.json').exists()
    assert run('2/2', 0.2)['packed'] == 21


def test_a_verification_in_parts_is_that_of_one_process(tmp_path, capsys):
    root = tmp_path / 'images'
    for name in ('a', 'b'):
        (root / name).mkdir(parents=True)
        for i in range(40):
            path = root / name / f'{i:02d}.{"jpg" if i % 10 else "png"}'
            Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(path, 'JPEG')
            if i % 7 == 3:
                path.write_bytes(path.read_bytes()[:-20])

    def run(folder, part):
        data = {'source': 'folder', 'root': str(root), 'cache': 'off', 'max_pixels': 0,
                'warned': 'keep'}
        verify.run(ml_collections.ConfigDict({'part': part, 'data': data}), folder)

    run(tmp_path / 'whole', '')
    for number in (3, 1, 4, 2):  # 80 images are three chunks of 32: one part has none
        assert not (tmp_path / 'parts' / 'verify.json').exists()
        run(tmp_path / 'parts', f'{number}/4')
    assert 'this part is done. Not done yet: 2. The part' in capsys.readouterr().out
    assert files_in(tmp_path / 'parts') == files_in(tmp_path / 'whole')
    assert b'"bad": 12' in files_in(tmp_path / 'whole')['verify.json']


def test_a_report_on_data_in_parts_is_that_of_one_process(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(hash_parts, '_STEP', 4)
    (tmp_path / 'images').mkdir()
    packs.examples_in(tmp_path / 'images' / 'a')
    packs.examples_in(tmp_path / 'images' / 'b', 3)  # the same as the first three
    config = packs.settings(tmp_path / 'images')

    def run(folder, part):
        config.part = part
        inspect.run(config, folder)

    run(tmp_path / 'whole', '')
    for part in ('2/3', '3/3', '1/3'):
        run(tmp_path / 'parts', part)
    assert 'this part is done. Not done yet: 1. The part' in capsys.readouterr().out
    found, whole = files_in(tmp_path / 'parts'), files_in(tmp_path / 'whole')
    names = {name for name in found if not name.startswith('hashes')}
    assert names == {'inspect.json', 'class_sizes.svg', 'duplicates.csv'}
    assert {name: found[name] for name in names} == {name: whole[name] for name in names}
    assert not list((tmp_path / 'parts').glob('*.npz'))


def test_a_verification_whose_journal_is_gone_is_not_taken_for_clean(tmp_path, monkeypatch):
    root = tmp_path / 'images'
    root.mkdir()
    packs.examples_in(root / 'a', 3)  # which nothing decodes
    config = packs.settings(root)
    original = verify.verify

    def taken(*given, **rest):
        found = original(*given, **rest)
        given[2].unlink()  # as by another process, where the file system has no locks
        return found

    monkeypatch.setattr(verify, 'verify', taken)
    verify.run(config, tmp_path / 'whole')
    assert b'"bad": 3' in files_in(tmp_path / 'whole')['verify.json']
