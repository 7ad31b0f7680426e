"""The modes: what each does, and the fields that it uses."""

from typing import NamedTuple

from bsce_tf import fields

DEFAULT = 'fashion_mnist'  # the config, where none is named


class Mode(NamedTuple):
    """One value of `--mode`.

    Attributes:
      help: one line.
      steps: the functions that it runs, as 'module:function', each called with (config, workdir).
      fields: names of the config's fields that it uses, and groups of them, as 'data.'.
      without: names of fields of these groups that it does not use.
    """

    help: str
    steps: tuple
    fields: tuple = ()
    without: tuple = ()

    def uses(self, name):
        """Whether the mode uses a field."""
        group = name.rpartition('.')[0] + '.'
        return name not in self.without and (name in self.fields or group in self.fields)


# Training uses every field that no other mode has to itself.
_TRAINING = tuple(dict.fromkeys(
    name.partition('.')[0] + ('.' if '.' in name else '') for name in fields.TABLE
    if name.partition('.')[0] not in (
        'part', 'engine', 'inspect', 'audit', 'review', 'index', 'neighbours', 'evaluate',
        'predict', 'export', 'report', 'pack', 'demo_page')))
_OF_DATA_MODES = ('data.shard_images', 'data.warned')  # which `data.` has, but no other mode uses
# To list images: data.source and `data.sources.FIELDS`, which would load TensorFlow.
_LISTING = tuple(f'data.{name}' for name in (
    'source', 'root', 'train', 'validation', 'test', 'dataset', 'image_column', 'label_column',
    'group_column', 'group_pattern', 'classes', 'clean', 'cache', 'readers'))
_USING = ('batch_size', 'strategy', 'replicas', 'tta.', 'adjust.')  # for a trained run
_PARTS = ('part', 'engine.')
_BY = ('index.folder', 'index.probes', 'neighbours.')  # for answers by an index


GROUPS = {
    'Begin': {
        'demo': Mode('train the config with ce and with bsce, and compare them (the default)',
                     ('bsce_tf.demo:run',), _TRAINING, (*_OF_DATA_MODES, 'loss.name')),
        'models': Mode('list the backbones: size, cost, smallest image, published accuracy',
                       ('bsce_tf.models.overview:run',))},
    'Data': {
        'inspect': Mode('count images, classes, duplicates and overlaps of sets before training',
                        ('bsce_tf.catalogue.inspect:run',),
                        (*_LISTING, 'data.max_pixels', 'inspect.', *_PARTS)),
        'verify': Mode('decode every image and list those that cannot be used',
                       ('bsce_tf.catalogue.verify:run',),
                       (*_LISTING, 'data.max_pixels', 'data.warned', *_PARTS)),
        'pack': Mode('write the images into a few large files that load fast',
                     ('bsce_tf.catalogue.pack:run',),
                     (*_LISTING, 'data.max_pixels', 'data.on_error', 'data.max_bad_fraction',
                      'data.shard_images', 'pack.', *_PARTS))},
    'Train': {
        'train': Mode('train a run in --workdir, or resume it, and evaluate',
                      ('bsce_tf.training.train:train', 'bsce_tf.evaluation.evaluate:evaluate'),
                      _TRAINING, _OF_DATA_MODES),
        'audit': Mode('find wrong labels and near-duplicates among the training images',
                      ('bsce_tf.audit.audit:audit',), (*_TRAINING, 'audit.', *_PARTS),
                      (*_OF_DATA_MODES, 'adjust.tau', 'audit.rounds')),
        'review': Mode('look at the labels that an audit lists, in a browser, and correct them',
                       ('bsce_tf.review.review:review',), ('review.',)),
        'clean_train': Mode('audit, then train on the images that it keeps; audit.rounds times',
                            ('bsce_tf.audit.rounds:clean_train',), (*_TRAINING, 'audit.'),
                            _OF_DATA_MODES),
        'convert': Mode('convert a checkpoint of timm into a file for model.weights',
                        ('bsce_tf.models.convert:run',), ('model.backbone', 'model.weights'))},
    'Use a trained run (--workdir=A, or A,B,… for several)': {
        'index': Mode('add images to an index, or remove some: new products without training',
                      ('bsce_tf.evaluation.neighbours.build:build',),
                      ('batch_size', 'strategy', 'replicas', 'tta.', 'data.', 'index.'),
                      (*_OF_DATA_MODES, 'data.unseen_classes', 'index.probes')),
        'evaluate': Mode('errors on the test set, by scale and by class group',
                         ('bsce_tf.evaluation.neighbours.measure:evaluate',),
                         (*_USING, 'data.', 'evaluate.', 'predict.by', *_BY),
                         (*_OF_DATA_MODES, 'neighbours.reject')),
        'predict': Mode('classify images; writes a CSV file',
                        ('bsce_tf.evaluation.predict:predict',),
                        (*_USING, 'data.', 'predict.', *_PARTS, *_BY), _OF_DATA_MODES),
        'export': Mode('files for TensorFlow Serving, ONNX, LiteRT',
                       ('bsce_tf.serving.export:export',),
                       ('batch_size', 'data.', 'tta.', 'adjust.', 'export.', 'index.folder',
                        'neighbours.'), _OF_DATA_MODES),
        'demo_page': Mode('a page on which one drops a picture and sees what the model says',
                          ('bsce_tf.demo_page.demo_page:demo_page',),
                          ('batch_size', 'data.', 'tta.', 'adjust.', 'predict.model',
                           'predict.top_k', 'demo_page.'), _OF_DATA_MODES),
        'report': Mode('one HTML page on the runs: curves, errors, mistakes',
                       ('bsce_tf.report.report:report',),
                       ('report.', 'strategy', 'replicas'))},
}
MODES = {name: mode for group in GROUPS.values() for name, mode in group.items()}
