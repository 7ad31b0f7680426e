"""Classification sets of tensorflow-datasets, prepared as ArrayRecord files, by random access."""

import numpy as np

from bsce_tf.data import texts
from bsce_tf.data.listing import image_lists, index_cache
from bsce_tf.data.reading.records import Records
from bsce_tf.errors import InputError

_BATCH = 256


def load(*, root='', train='', validation='', test='', dataset='', cache=''):
    """Opens a prepared data set; nothing is downloaded.

    Args:
      root: data folder of tensorflow-datasets; empty for its own default.
      train: name of the training split, slices such as `train[:90%]` allowed; empty for `train`.
      validation: the same; empty for `validation` if there is one.
      test: the same; empty for `test` if there is one.
      dataset: name, or `name/config:version`, of a set with one image and one class label.
      cache: folder for the labels, see `index_cache.cached`.

    Returns:
      `Splits`; names of images are `<split>/<number>`.

    Raises:
      InputError: if tensorflow-datasets or the data set is missing, is not prepared as ArrayRecord,
        or is not a classification set.
    """
    builder = _builder(dataset, root)
    image, label = _features(builder, dataset)
    splits = {'train': train or 'train', 'validation': validation, 'test': test}
    for split, name in splits.items():
        if not name and split in builder.info.splits:
            splits[split] = split
    stores, indexes, origins = {}, {}, {}
    for split, name in splits.items():
        if name:
            origins[split] = f'{dataset}, split {name}'
            stores[split] = DataSource(str(builder.data_dir), name, image, origins[split])
            indexes[split] = _index(builder, stores[split], name, label, cache)
    return image_lists.assemble(indexes, origins, lambda split, found: {
        'records': Records(stores[split], found.paths)})


def _module():
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise InputError("data.source tfds: needs tensorflow-datasets: pip install "
                         "'bsce-tf[tfds]'.") from error
    return tensorflow_datasets


def _builder(dataset, root):
    tfds = _module()
    if not dataset:
        raise InputError('data.dataset: empty; expected a name of tensorflow-datasets.')
    try:
        builder = tfds.builder(dataset, data_dir=root or None, try_gcs=False)
        prepared = builder.info.splits
    except (tfds.core.registered.DatasetNotFoundError, ValueError, AssertionError) as error:
        line = str(error).strip().partition('\n')[0]
        raise InputError(f"data.dataset: found '{dataset}' ({line}); expected a set that "
                         'tensorflow-datasets knows.') from error
    if not prepared:
        raise InputError(f'{builder.data_dir}: no data; prepare them by: tfds build {dataset} '
                         f'--file_format=array_record --data_dir={root or "DIR"}.')
    return builder


def _features(builder, dataset):
    """Names of the image and of the class label."""
    tfds = _module()
    if not isinstance(builder.info.features, tfds.features.FeaturesDict):
        raise InputError(f'data.dataset: {dataset} has no named features; expected a '
                         'classification set.')
    chosen = []
    for kind in (tfds.features.Image, tfds.features.ClassLabel):
        names = [name for name, feature in builder.info.features.items()
                 if isinstance(feature, kind)]
        supervised = [name for name in names if name in (builder.info.supervised_keys or ())]
        if len(supervised or names) != 1:
            raise InputError(f'data.dataset: {dataset} has {len(names)} features of the kind '
                             f'{kind.__name__}; expected a classification set, with one.')
        chosen += supervised or names
    return chosen


def _index(builder, store, name, label, cache):
    """Labels of a split, by reading all of it once; the index cache keeps them."""
    classes = tuple(builder.info.features[label].names)

    def build():
        labels = store.labels(label)
        names = [f'{name}/{number}'.encode() for number in range(len(labels))]
        return image_lists.Index(texts.of(names), labels, classes)

    try:
        files = builder.info.splits[name].filepaths
    except (ValueError, KeyError) as error:
        raise InputError(f"{builder.info.name}: no split '{name}'; expected one of "
                         f'{", ".join(builder.info.splits)}.') from error
    return index_cache.cached(files, ['tfds', name, label], cache, build)


class DataSource:
    """A store of the images of one split, opened when it is first read.

    Args:
      folder: where the data set is prepared.
      split: its name, slices allowed.
      image: name of the feature that holds the image.
      origin: what to call the split in messages.
    """

    def __init__(self, folder, split, image, origin):
        self._facts = (folder, split, image, origin)
        self._source = None

    def __getstate__(self):
        return self._facts

    def __setstate__(self, state):
        self.__init__(*state)

    def read(self, numbers):
        """Images at `numbers` (int64 `[n]`), in that order, as a list of bytes."""
        image = self._facts[2]
        return [found[image] for found in self._read(numbers)]

    def labels(self, feature):
        """int32 `[N]`: the class of every image."""
        count = len(self._open())
        return np.array([found[feature] for first in range(0, count, _BATCH)
                         for found in self._read(range(first, min(first + _BATCH, count)))],
                        np.int32)

    def _read(self, numbers):
        try:
            return self._open().__getitems__([int(number) for number in numbers])
        except RuntimeError as error:
            line = ' '.join(str(error).split())[:200]
            raise InputError(f'{self._facts[3]}: damaged ({line}); prepare it again.') from error

    def _open(self):
        if self._source is None:
            folder, split, image, origin = self._facts
            tfds = _module()
            builder = tfds.builder_from_directory(folder)
            try:
                self._source = builder.as_data_source(
                    split, decoders={image: tfds.decode.SkipDecoding()})
            except NotImplementedError as error:
                raise InputError(
                    f'{origin}: prepared as {builder.info.file_format.value}; expected '
                    'array_record: tfds build --file_format=array_record.') from error
        return self._source
