"""Probes, as in `probes`, for fields of the modes after training, such as export and audit."""

import contextlib
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from bsce_tf.audit import audit, out_of_sample, rounds, top_probabilities
from bsce_tf.data import decisions, prepare, view
from bsce_tf.demo_page import demo_page as page_of_a_model
from bsce_tf.errors import InputError
from bsce_tf.evaluation import adjust, networks, predictors
from bsce_tf.evaluation.evaluate import evaluate
from bsce_tf.evaluation.neighbours import build, measure, predictor
from bsce_tf.evaluation.predict import predict
from bsce_tf.report.report import report
from bsce_tf.review import app, review
from bsce_tf.review.exchange import label_studio
from bsce_tf.serving import export
from bsce_tf.training import resume, strategy, workdir
from bsce_tf.web import server
from tests.fields.probes import replaced
from tests.review import audited as audited_run


def selected(config, place):
    folder = place / config.averaging.select
    resume.claim(folder, resume.plan(folder, config))
    splits = prepare.load('generated')
    workdir.describe(folder, splits)
    best = {'stage': 0, 'epoch': 1, 'error': 0.5}
    (folder / 'best.json').write_text(json.dumps({'raw': best, 'ema': best}))
    for name in ('best', 'ema'):
        (folder / f'{name}.weights.h5').touch()
    return workdir.read(folder).best['kind']


def scales(config, place):
    return networks.of_run(workdir.read(place / 'run' / '0'), tuple(config.tta.scales)).view.scales


def taus(config, place):
    return adjust.taus(config, [workdir.read(place / 'run' / '0')],
                       strategy.of_this_machine('one', 0))


def tables(config, place):
    evaluate(config, f'{place / "run" / "0"},{place / "run" / "1"}')
    return (place / 'tables' / 'ensemble.json').exists()


class OneAnswer:
    """Stands for a SavedModel, which takes seconds to write and to load."""

    top_k, voting, columns, fingerprints = 1, False, (), []

    def __init__(self, path, top_k):
        self._path = path

    def answers(self, examples, batch_size, bad, start=0):
        size = len(examples) - start
        yield predictors.Answers(np.ones(size, bool), np.full((size, 1), self._path),
                                 np.ones((size, 1)), None)


def predictions(config, place):
    for old in place.rglob('predictions.csv'):
        old.unlink()
    with replaced((predictors, 'SavedModel', OneAnswer)):
        predict(config, place / 'run' / '0')
    return [(str(path), path.read_text()) for path in place.rglob('predictions.csv')]


class Pixels:
    """Stands for the networks of an index: three numbers an image."""

    def __init__(self, runs, scales, devices, taus=None):
        self.class_names, self.devices, self.width = runs[0].class_names, devices, 3
        self.fingerprints, self.views = ['pixels'], [view.View(16, (20,))]
        self.accepted = [('pixels',)]

    def compute(self, batch):
        vectors = tf.reduce_mean(tf.cast(batch.crops[0][:, 0], tf.float32), (1, 2)) - 127
        return {'vectors': tf.math.l2_normalize(vectors, 1),
                'probabilities': tf.one_hot(tf.zeros_like(batch.labels), len(self.class_names))}

    def vectors(self, batch):
        return {'vectors': self.compute(batch)['vectors']}


def index(config, place):
    """The index of images, after it was made with the other fields' defaults."""
    run, fields = place / 'run' / '0', config.index
    default = place / 'indexes' / str(len(list((place / 'indexes').glob('*'))))
    first = config.copy_and_resolve_references()
    first.index.update(remove='', remove_classes=(), folder=str(default))
    with replaced((build, 'Embedder', Pixels)):
        made = build.build(first, run)
        if fields.remove or fields.remove_classes or fields.folder:
            fields.folder = fields.folder or str(default)
            made = build.build(config, run)
    return (str(made.folder).replace(str(default), ''), made.about['kind'], len(made),
            made.rows.class_names, [name for _, name in made.rows.files()])


def neighbours(config, place):
    """Predictions and evaluation by an index of one run, also how many cells are searched."""
    config.index.folder = str(place / 'by' / str(len(list((place / 'by').glob('*')))))
    config.index.kind, by, run, probes = 'ivf', config.predict.by, place / 'run' / '0', []

    def search(index, vectors, count, cells, without=None):
        probes.append(cells)
        return whole(index, vectors, count, cells, without)

    whole = build.kinds.search
    with replaced((build, 'Embedder', Pixels), (predictor, 'Embedder', Pixels),
                  (measure, 'Embedder', Pixels), (build.kinds, 'search', search)):
        build.build(config, run)
        found = measure.evaluate(config, run)
        config.predict.output = f'{config.index.folder}/p.csv'
        predict(config, run)
    text = pathlib.Path(config.predict.output).read_text()
    return by, str({**found, 'index': ''}), text, set(probes)


def exported(config, place):
    """What an export is told to write, without TensorFlow's writing of it."""
    found = []

    class Graph:
        def __init__(self, members, names, neighbours=None, **options):
            found.append({**options, 'assets': 0})
            if neighbours is not None:
                found.append((neighbours.by, neighbours._matrix.dtype.name))

        def signatures(self):
            return {}

    def write_version(base, name, write):
        found.append((str(base), name))
        (place / 'written').mkdir(exist_ok=True)
        return place, write(place / 'written')

    def compare(where, networks, names, images, max_pixels, neighbours):
        found.append([hash(image) for image in images])
        return 0.0, 0.0

    def write_others(where, kinds, weights, folded, networks, names, top_k, images, examples,
                     max_pixels):
        found.append((kinds, weights, len(list(examples())) if weights != 'float32' else 0))
        return []

    if config.export.by != 'classifier':
        build.build(config, place / 'run' / '0')

    def noted(function):
        def call(*arguments):
            made = function(*arguments)
            found.append(list(made[1]))  # what was done to the networks, in words
            return made
        return call

    with replaced(
            (export.graph, 'Graph', Graph), (export.publish, 'write_version', write_version),
            (export.check, 'compare', compare), (export.publish, 'require_messages', list),
            (export.publish, 'write_server_files', lambda *_: None),
            (export.publish, 'write_warm_up', lambda *_: None),
            (export.provenance, 'write', lambda *_: []),
            (tf.saved_model, 'save', lambda *_, **__: None),
            (export.write, 'write', write_others), (export.servers, 'write', lambda *_: None),
            (export, '_folded', noted(export._folded)),
            (export, '_members', noted(export._members))):
        export.export(config, place / 'run' / '0')
    return found


def page(config, place):
    path = report(config, place / 'run' / '0')
    text = pathlib.Path(path).read_text(encoding='utf-8')
    return str(path), text.count('<tr'), text.count('<img')


def decided(config, place):
    """What an audit decides where good networks find a fifth of the labels wrong."""
    rng = np.random.default_rng(3)
    examples = prepare.load('generated').train
    size = len(examples)
    right = np.where(rng.random(size) < 0.2, rng.integers(0, 6, size), examples.labels)
    found = rng.dirichlet(np.ones(6), size) * rng.uniform(0.02, 0.5, (size, 1))
    found[np.arange(size), right] += 1 - found.sum(axis=1)
    found = found.astype('float32')
    order = np.argsort(-found, axis=1)
    sparse = top_probabilities.Sparse(order.astype('int32'), np.take_along_axis(found, order, 1),
                                      found[np.arange(size), examples.labels])
    result = audit.find(examples, sparse, np.arange(size) % 2, config.audit)
    return (result.scores.tolist(), result.decision.dropped.tolist(),
            result.decision.labels.tolist())


def predicted_of_folds(config, place):
    """How many networks an audit trains, and how many classes it keeps of an image."""
    called = []
    data = prepare.load('generated')
    with replaced((out_of_sample, '_train', lambda *_: called.append(1)),
                  (workdir, 'read', lambda _: None),
                  (out_of_sample, '_predict', lambda config, run, folder, examples, title:
                   top_probabilities.empty(len(examples), min(config.audit.top_k, 6)))):
        sparse, _ = out_of_sample.by_folds(config, place, data)
    return len(called), sparse[0].shape


def audited(config, place):
    """Which parts of an audit run."""
    called = []

    def by(name):
        def call(*_):
            called.append(name)
            return None, None  # as out_of_sample does

        return call

    folder = place / 'audits' / str(len(list((place / 'audits').glob('*'))))
    with replaced((out_of_sample, 'by_model', by('model')),
                  (out_of_sample, 'by_folds', by('folds')),
                  (audit, 'find', by('find')), (audit, '_write', by('write')),
                  (audit, '_write_duplicates', by('duplicates'))):
        audit.audit(config, folder)
    return called


def loaded(config, place):
    """The labels that an audit begins with, and which of them a person decided."""
    train = prepare.load('generated').train
    key = decisions.keys(train)
    (place / 'decisions.jsonl').write_bytes(b''.join(map(decisions.line, (
        decisions.HEADER, decisions.Decision(*key(3), decisions.digest(train, 3), 'another',
                                             train.class_names[5], 'Ada', '')))))
    data = audit.load(config)
    return (data.splits.train.labels.tolist(), data.reviewed.tolist(),
            data.splits.validation.labels.tolist())


def _audit_of_files(place):
    """The folder of an audit of image files."""
    images, folder = place / 'reviewed', place / 'review'
    if not folder.exists():
        audited_run.write_images(images)
        with pytest.MonkeyPatch.context() as patch:
            audited_run.write(audited_run.settings(images), folder, patch)
    return folder


def exchanged(config, place):
    """What a review writes for another program, or what it decides by the file that it reads."""
    if config.review.read:
        return _decided_by_file(config, place)
    if not config.review.write:
        return 'the page'
    review.review(config, _audit_of_files(place))
    return json.loads(pathlib.Path(config.review.write).read_text(encoding='utf-8'))


def _decided_by_file(config, place):
    """The decisions that come of one task that somebody finished."""
    folder, path = place / 'review_of_file', pathlib.Path(config.review.read)
    shutil.copytree(_audit_of_files(place), folder)
    writing = config.copy_and_resolve_references()
    writing.review.update(read='', write=str(path))
    review.review(writing, folder)
    tasks = json.loads(path.read_text(encoding='utf-8'))
    result = [{'from_name': 'label', 'value': {'choices': [label_studio.REMOVE]}}]
    path.write_text(json.dumps([
        {**task, 'annotations': [{'result': [] if number else result}]}
        for number, task in enumerate(tasks)]), encoding='utf-8')
    review.review(config, folder)
    _, *lines = (folder / 'decisions.jsonl').read_text(encoding='utf-8').splitlines()
    return [json.loads(line)['decision'] for line in lines]


def reviewed(config, place):
    """What a review shows, writes and listens on, without its server."""
    folder, found = _audit_of_files(place), []

    def make(catalogue, store, token, writer):
        found.extend((catalogue.lists['issues'].tolist(), store._reviewer))

    bound = server.bound
    with (replaced((server, 'bound', lambda port, _: found.append(port) or bound(0, '')),
                   (app, 'make', make), (server, 'running', lambda *_: contextlib.nullcontext())),
          review.serving(config, folder)):
        pass
    return found, (folder / 'reviewed.csv').read_text(encoding='utf-8')


def demo_page(config, place):
    """The port that the page asks for."""
    def bound(port, field):
        raise InputError(f'{field} {port}')

    with replaced((server, 'bound', bound)), pytest.raises(InputError) as error, (
            page_of_a_model.serving(config, place / 'run' / '0')):
        pass
    return str(error.value)


def cleaned(config, place):
    """How often clean_train audits."""
    called = []
    folder = place / 'rounds' / str(config.audit.rounds)
    with replaced((audit, 'audit', lambda *_: called.append(1)), (rounds, '_train', lambda *_: 0),
                  (rounds, '_row', lambda *_: {}), (rounds, '_write', lambda *_: 0),
                  (rounds, '_markdown', lambda _: '')):
        rounds.clean_train(config, folder)
    return len(called)
