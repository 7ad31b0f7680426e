"""What is in the shop of `conftest`, and its list."""

import csv
import io

import numpy as np

from bsce_tf.data.reading import records

CLASSES = 'bags', 'é shoes'


def table(paths):
    text = io.StringIO()
    csv.writer(text).writerows([('image', 'label'), *((path, path.split('/')[-2])
                                                      for path in paths)])
    return text.getvalue().encode()


def everything(examples):
    return (bytes(records.names(examples).data), examples.labels.tolist(), examples.class_names,
            records.of(examples).read(np.arange(len(examples))))


def paths_of(shop):
    return sorted(str(path.relative_to(shop)) for path in shop.rglob('*.png'))
