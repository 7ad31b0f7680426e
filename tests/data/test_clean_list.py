import numpy as np
import pytest

from bsce_tf.data import clean_list, prepare, sources
from bsce_tf.data.examples import Examples
from bsce_tf.errors import InputError

NAMES = ('boots', 'bags, "big"')
PATHS = [b'b.jpg', 'é.jpg'.encode(), b'a.jpg', b'b.jpg', b'c.jpg']
ODD = [b'a\rb.jpg', b'\xff\xfe.jpg', b'a\nb.jpg', b'a\r\nb.jpg', b'"a", b.jpg', b' a.jpg ']
LABELS = [0, 1, 0, 1, 1]


def _examples(labels=LABELS):
    return Examples(labels, NAMES, paths=np.array(PATHS), root='r', origin='list')


def test_what_is_written_chooses_the_same_images_again(tmp_path):
    clean_list.write(tmp_path / 'c.csv', _examples(), [0, 1, 3, 4])
    chosen = clean_list.apply(_examples(), tmp_path / 'c.csv')
    assert chosen.paths.tolist() == [PATHS[i] for i in (0, 1, 3, 4)]
    assert chosen.labels.tolist() == [0, 1, 1, 1]


def test_the_csv_source_reads_it(tmp_path):
    clean_list.write(tmp_path / 'c.csv', _examples(), [1, 2])
    train = sources.load('csv', train=str(tmp_path / 'c.csv'), root='r', cache='off').train
    assert train.paths.tolist() == [PATHS[1], PATHS[2]]
    assert [train.class_names[k] for k in train.labels] == [NAMES[1], NAMES[0]]


def test_names_of_any_bytes_are_read_back_here_and_by_the_csv_source(tmp_path):
    examples = Examples([0] * 6, ('a\rb', 'c'), paths=np.array(ODD), root='r')
    clean_list.write(tmp_path / 'c.csv', examples, range(6))
    assert clean_list.apply(examples, tmp_path / 'c.csv').paths.tolist() == ODD
    train = sources.load('csv', train=str(tmp_path / 'c.csv'), root='r', cache='off').train
    assert train.paths.tolist() == ODD
    assert train.class_names == ('a\rb',)


@pytest.mark.parametrize('text', [
    '\ufeffimage,label\r\nc.jpg,boots\r\na.jpg,boots\r\n\r\n',  # Excel
    'image,label\rc.jpg,boots\ra.jpg,boots\r'])
def test_a_list_that_another_program_saved_is_read(tmp_path, text):
    (tmp_path / 'c.csv').write_bytes(text.encode())
    chosen = clean_list.apply_all({'train': _examples()}, tmp_path / 'c.csv')['train']
    assert chosen.paths.tolist() == [b'a.jpg', b'c.jpg']
    assert clean_list.places(str(tmp_path / 'c.csv')) == (str(tmp_path / 'c.csv'), '')


def test_labels_of_the_list_replace_those_of_the_source(tmp_path):
    (tmp_path / 'c.csv').write_text('image,label\nc.jpg,boots\na.jpg,"bags, ""big"""\n')
    chosen = clean_list.apply(_examples(), tmp_path / 'c.csv')
    assert chosen.paths.tolist() == [b'a.jpg', b'c.jpg']
    assert chosen.labels.tolist() == [1, 0]


def test_a_set_without_labels_stays_without(tmp_path):
    unlabelled = _examples([-1] * 5)
    clean_list.write(tmp_path / 'c.csv', unlabelled, [2])
    assert clean_list.apply(unlabelled, tmp_path / 'c.csv').labels.tolist() == [-1]


def test_every_split_takes_its_list_and_one_file_is_for_training(tmp_path):
    for split, kept in (('train', [0, 3]), ('validation', [1])):
        clean_list.write(tmp_path / f'clean_{split}.csv', _examples(), kept)
    splits = {'train': _examples(), 'validation': _examples(), 'test': None}
    chosen = clean_list.apply_all(splits, tmp_path)
    assert (len(chosen['train']), len(chosen['validation']), chosen['test']) == (2, 1, None)
    chosen = clean_list.apply_all(splits, tmp_path / 'clean_train.csv')
    assert (len(chosen['train']), len(chosen['validation'])) == (2, 5)


def test_images_in_memory_are_named_by_number(tmp_path):
    images = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1)
    examples = Examples([0] * 12, NAMES, images=images)
    clean_list.write(tmp_path / 'c.csv', examples, [2, 11])
    assert clean_list.apply(examples, tmp_path / 'c.csv').images.ravel().tolist() == [2, 11]


@pytest.mark.parametrize(('text', 'found'), [
    ('path,label\na.jpg,boots\n', "found the columns .'path', 'label'."),
    ('image,label\n', 'no image found'),
    ('image,label\na.jpg\n', 'line 2 has 1 cells'),
    ('image,label\na.jpg,boots\nz.jpg,boots\n', "'z.jpg' is not in list"),
    ('image,label\nb.jpg,boots\n', "'b.jpg' is not in list, or not as often"),
    ('image,label\na.jpg,boots\na.jpg,boots\n', "'a.jpg' is not in list, or not as often"),
    (b'image,label\na.jpg,Caf\xe9\n', "the label b'Caf.xe9' is not UTF-8"),
    (b'image,label\nb.jpg,x\ra.jpg,boots\n', "'b.jpg'|class 'x' is not"),
    ('image,label\na.jpg,hats\n', "class 'hats' is not among the 2 classes"),
])
def test_says_what_is_wrong_with_a_list(tmp_path, text, found):
    (tmp_path / 'c.csv').write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=f'c.csv: {found}'):
        clean_list.apply(_examples(), tmp_path / 'c.csv')


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(InputError, match='clean_train.csv: No such file'):
        clean_list.apply_all({'train': _examples(), 'validation': None, 'test': None}, tmp_path)


def _written(path, rows):
    path.write_text('image,label,given_label\n' + ''.join(f'{row}\n' for row in rows))
    return path


def test_the_list_of_an_audit_finds_images_by_name_and_given_label(tmp_path):
    names = ('boots', 'bags')
    examples = Examples(LABELS, names, paths=np.array([b'b', b'e', b'a', b'b', b'c']))
    path = _written(tmp_path / 'c.csv', ['c,boots,bags', 'b,bags,bags', 'e,bags,bags'])
    indices, labels = clean_list.select(examples, path)
    assert indices.tolist() == [1, 3, 4]  # the first b, under boots, was dropped
    assert labels.tolist() == [1, 1, 0]
    clean_list.write_audited(tmp_path / 'd.csv', examples, indices, labels)
    assert sorted((tmp_path / 'd.csv').read_text().splitlines()) == sorted(
        path.read_text().splitlines())
    with pytest.raises(InputError, match="'e' with its given_label is not in data"):
        clean_list.apply(examples, _written(tmp_path / 'c.csv', ['e,bags,boots']))
    with pytest.raises(InputError, match="'c' with its given_label is not in data, or not as"):
        clean_list.apply(examples, _written(tmp_path / 'c.csv', ['c,bags,bags'] * 2))


def test_an_audit_is_applied_after_noise_and_split_and_changes_training_alone(tmp_path):
    fields = {'validation_fraction': 0.2, 'noise': 0.3, 'imbalance': 3.0, 'seed': 2}
    before = _prepared(**fields)
    kept = np.arange(1, len(before.train), 2)
    labels = (before.train.labels[kept] + 1) % 6
    clean_list.write_audited(tmp_path / 'c.csv', before.train, kept, labels)
    after = _prepared(**fields, clean=str(tmp_path / 'c.csv'))
    np.testing.assert_array_equal(after.train.images, before.train.images[kept])
    np.testing.assert_array_equal(after.train.labels, labels)
    np.testing.assert_array_equal(after.train.numbers, before.train.numbers[kept])
    np.testing.assert_array_equal(after.validation.images, before.validation.images)
    np.testing.assert_array_equal(before.train.images, sources.load(
        'generated').train.images[before.train.numbers])
    assert before.train.name(3) == f'image {before.train.numbers[3]}'
    with pytest.raises(InputError, match='with its given_label is not in'):
        _prepared(**{**fields, 'seed': 3}, clean=str(tmp_path / 'c.csv'))


def test_lists_of_verify_and_audit_go_together(tmp_path):
    clean_list.write(tmp_path / 'v.csv', sources.load('generated').train, np.arange(0, 144, 2))
    lists = str(tmp_path / 'v.csv')
    before = _prepared(clean=lists)
    assert len(before.train) + len(before.validation) == 72 + 48
    clean_list.write_audited(tmp_path / 'a.csv', before.train, [3, 5], [0, 1])
    after = _prepared(clean=f'{lists}, {tmp_path / "a.csv"}')
    assert after.train.numbers.tolist() == before.train.numbers[[3, 5]].tolist()
    both = sources.load('generated', clean=f'{lists},{tmp_path / "a.csv"}').train
    np.testing.assert_array_equal(both.images, after.train.images)
    assert clean_list.places('') == ('', '')
    with pytest.raises(InputError, match='data.clean: found .* expected at most one'):
        clean_list.places(f'{lists},{lists}')


def _prepared(**fields):
    return prepare.load('generated', **fields)
