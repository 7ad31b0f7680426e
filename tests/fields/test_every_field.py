"""Every field of the table, set to another allowed value, changes what it names."""

import pytest

from bsce_tf import fields, recipes
from bsce_tf.errors import InputError
from tests.fields import mode_probes, probes

BASE = {'data.source': 'generated', 'data.cache': 'off', 'image.size': 16, 'image.scales': (20,),
        'image.eval_scale': 20, 'model.backbone': 'tests.fields.probes:tiny', 'batch_size': 4,
        'epochs': 6, 'strategy': 'one', 'augment.flip': False}
TABLES = {'data.source': 'csv', 'data.root': '{place}', 'data.train': 'train.csv',
          'data.validation': 'val.csv', 'data.test': 'test.csv'}
POLICY = {'augment.policy': 'randaugment'}
PRIOR = {'loss.name': 'bsce_many'}
BOTH = {'predict.by': 'both'}
RAY = {'engine.name': 'ray'}
SHORT = {'epochs': 1, 'steps': 1}

# {field: (another value, what is looked at, fields beside)}; '{place}' is the folder of `world`.
ROWS = {
    'seed': (1, probes.batch, {}),
    'deterministic': (True, probes.determinism, {}),
    'strategy': ('mirrored', probes.devices, {}),
    'replicas': (2, probes.devices, {'strategy': 'mirrored'}),
    'precision': ('mixed_bfloat16', probes.network, {}),
    'jit_compile': (True, probes.steps, {}),
    'part': ('1/2', probes.packs, {**TABLES, 'data.shard_images': 5}),
    'engine.name': ('ray', probes.spread, TABLES),
    'engine.parts': (7, probes.spread, RAY),
    'engine.cpus': (3, probes.spread, RAY),
    'engine.gpus': (1, probes.spread, RAY),
    'batch_size': (6, probes.batch, {}),
    'epochs': (3, probes.loop, {}),
    'steps': (2, probes.run, SHORT),
    'stages': (({}, {'epochs': 2}), probes.number_of_stages, {}),

    'data.source': ('tests.fields.probes:source', probes.data, {}),
    'data.root': ('{place}/elsewhere', probes.data, TABLES),
    'data.train': ('train_short.csv', probes.data, TABLES),
    'data.validation': ('val_short.csv', probes.data, TABLES),
    'data.test': ('test_short.csv', probes.data, TABLES),
    'data.dataset': ('none_such', probes.data, {'data.source': 'tfds'}),
    'data.image_column': ('copy', probes.data, TABLES),
    'data.label_column': ('kind', probes.data, {**TABLES, 'data.test': ''}),
    'data.group_column': ('kind', probes.data, {**TABLES, 'data.validation': ''}),
    'data.group_pattern': (r'\d', probes.data, {**TABLES, 'data.validation': ''}),
    'data.copies': ('{place}/copies.csv', probes.data, {**TABLES, 'data.validation': ''}),
    'data.classes': ('{place}/names.json', probes.data, TABLES),
    'data.clean': ('{place}/clean.csv', probes.data, TABLES),
    'data.trusted': ('{place}/decisions.jsonl', mode_probes.loaded, {}),
    'data.cache': ('{place}/cache', probes.cache, TABLES),
    'data.readers': (5, probes.readers, TABLES),
    'data.shard_images': (5, probes.packs, TABLES),
    'data.max_pixels': (7, probes.bad, {}),
    'data.on_error': ('skip', probes.bad, {}),
    'data.max_bad_fraction': (0.5, probes.bad, {}),
    'data.warned': ('bad', probes.verdicts, {'data.source': 'folder'}),
    'data.validation_fraction': (0.5, probes.data, {**TABLES, 'data.validation': ''}),
    'data.imbalance': (3.0, probes.data, {}),
    'data.noise': (0.5, probes.data, {}),
    'data.noise_kind': ('proportional', probes.data, {'data.noise': 0.5, 'data.imbalance': 3.0}),

    'data.unseen_classes': (0.5, probes.data, {}),

    'inspect.near_copies': (0.5, probes.inspected, TABLES),
    'pack.side': (20, probes.packed_bytes, TABLES),
    'pack.quality': (20, probes.packed_bytes, {**TABLES, 'pack.side': 24}),

    'image.size': (18, probes.batch, {}),
    'image.scales': ((30,), probes.batch, {}),
    'image.crop': ('random_resized', probes.batch, {}),
    'image.area': ((0.5, 1.0), probes.batch, {'image.crop': 'random_resized'}),
    'image.aspect_ratio': ((1.0, 2.0), probes.batch, {'image.crop': 'random_resized'}),
    'image.aspect': ('keep', probes.batch, TABLES),
    'image.antialias': (True, probes.batch, {}),
    'image.eval_scale': (24, probes.validation, {}),

    'augment.flip': (True, probes.batch, {'batch_size': 16}),
    'augment.vertical_flip': (True, probes.batch, {'batch_size': 16}),
    'augment.brightness': (0.5, probes.batch, {}),
    'augment.contrast': (0.5, probes.batch, {}),
    'augment.saturation': (0.5, probes.batch, {}),
    'augment.hue': (0.3, probes.batch, {}),
    'augment.policy': ('randaugment', probes.batch, {}),
    'augment.num_layers': (5, probes.batch, POLICY),
    'augment.magnitude': (1.0, probes.batch, POLICY),
    'augment.autoaugment_policy': ('v0', probes.policy, {'augment.policy': 'autoaugment'}),
    'augment.erasing': (1.0, probes.batch, {}),
    'augment.mixup': (1.0, probes.batch, {}),
    'augment.cutmix': (1.0, probes.batch, {}),

    'model.backbone': ('tests.fields.probes:other', probes.network, {}),
    'model.weights': ('{place}/run/0/best.weights.h5', probes.weights, {}),
    'model.pooling': ('max', probes.network, {}),
    'model.dropout': (0.5, probes.network, {}),
    'model.embedding': (4, probes.network, {}),
    'model.features': ('embedding', probes.features, {'model.embedding': 4}),
    'model.head': ('cosine', probes.network, {}),
    'model.head_sample': (0.5, probes.parted, {}),
    'model.head_parts': ('replicas', probes.parted, {}),
    'model.head_scale': (3.0, probes.network, {'model.head': 'cosine'}),
    'model.head_learn_scale': (False, probes.network, {'model.head': 'cosine'}),
    'model.head_tau': (0.5, probes.network, {'model.head': 'tau'}),
    'model.freeze': (('stem',), probes.network, {}),
    'model.sync_batch_norm': (False, probes.network, {}),
    'model.batch_norm_momentum': (0.5, probes.network, {}),

    'loss.name': ('sce', probes.loss, {}),
    'loss.alpha': (0.5, probes.loss, {}),
    'loss.beta': (0.5, probes.loss, {}),
    'loss.log_zero': (-9.0, probes.loss, {}),
    'loss.logit_bias': (1.0, probes.loss, {}),
    'loss.reverse_on': ('adjusted', probes.loss, PRIOR),
    'loss.label_smoothing': (0.1, probes.loss, {}),
    'loss.balance': ('effective', probes.loss, {}),
    'loss.weight_cap': (1.5, probes.loss, {}),
    'loss.effective_beta': (0.9, probes.loss, {'loss.balance': 'effective'}),
    'loss.tau': (0.5, probes.loss, PRIOR),
    'loss.focal_gamma': (1.0, probes.loss, {'loss.name': 'focal'}),
    'loss.gce_q': (0.5, probes.loss, {'loss.name': 'gce'}),
    'loss.ldam_margin': (0.3, probes.loss, {'loss.name': 'ldam'}),
    'loss.ldam_scale': (10.0, probes.loss, {'loss.name': 'ldam'}),
    'loss.nce_alpha': (2.0, probes.loss, {'loss.name': 'nce_rce'}),
    'loss.rce_beta': (2.0, probes.loss, {'loss.name': 'nce_rce'}),
    'loss.elr_strength': (1.0, probes.memory, {'loss.name': 'elr'}),
    'loss.elr_memory': (0.5, probes.memory, {'loss.name': 'elr'}),
    'loss.elr_kept': (2, probes.memory, {'loss.name': 'elr'}),
    'loss.seesaw_p': (0.4, probes.loss, {'loss.name': 'seesaw'}),
    'loss.seesaw_q': (1.0, probes.loss, {'loss.name': 'seesaw'}),

    'optimizer.name': ('adamw', probes.update, {}),
    'optimizer.learning_rate': (0.02, probes.rates, {}),
    'optimizer.momentum': (0.5, probes.update, {}),
    'optimizer.nesterov': (True, probes.update, {}),
    'optimizer.weight_decay': (0.1, probes.update, {}),
    'optimizer.decay_all': (True, probes.update, {'optimizer.weight_decay': 0.1}),
    'optimizer.layer_decay': (0.5, probes.update, {}),
    'optimizer.clip_norm': (0.1, probes.update, {}),
    'optimizer.clip_value': (0.1, probes.update, {}),
    'optimizer.accumulate': (2, probes.steps, {}),

    'schedule.name': ('cosine', probes.rates, {}),
    'schedule.factor': (0.5, probes.rates, {}),
    'schedule.patience': (1, probes.loop, {}),
    'schedule.min_delta': (0.1, probes.loop, {'schedule.patience': 2}),
    'schedule.min_rate': (0.005, probes.rates, {}),
    'schedule.stop_patience': (1, probes.loop, {}),
    'schedule.milestones': ((2,), probes.rates, {'schedule.name': 'step'}),
    'schedule.final': (0.5, probes.rates, {'schedule.name': 'cosine'}),
    'schedule.warmup_steps': (3, probes.rates, {}),

    'sampler.gamma': (1.0, probes.batch, {'data.imbalance': 8.0, 'batch_size': 16}),
    'sampler.cap': (3, probes.batch, {}),

    'averaging.ema': (0.9, probes.steps, {}),
    'averaging.swa_epochs': (1, probes.run, SHORT),
    'averaging.statistics': ('estimated', probes.run, SHORT),
    'averaging.batches': (2, probes.run, {'epochs': 1, 'steps': 3, 'averaging.swa_epochs': 1}),
    'averaging.select': ('ema', mode_probes.selected, {}),

    'checkpoint.steps': (3, probes.loop, {}),
    'checkpoint.minutes': (1e-9, probes.loop, {}),
    'checkpoint.keep': (5, probes.loop, {}),
    'tracking': ('mlflow', probes.tracked, {}),

    'tta.scales': ((24, 28), mode_probes.scales, {}),
    'adjust.tau': (1.0, mode_probes.taus, {}),
    'index.folder': ('{place}/elsewhere_index', mode_probes.index, {}),
    'index.input': ('{place}/val.csv', mode_probes.index, TABLES),
    'index.classes': ('seen', mode_probes.index, {**TABLES, 'index.input': '{place}/mixed.csv'}),
    'index.remove': ('{place}/gone.csv', mode_probes.index, {}),
    'index.remove_classes': (('bar 0°',), mode_probes.index, {}),
    'index.kind': ('ivf', mode_probes.index, {}),
    'index.probes': (3, mode_probes.neighbours, BOTH),
    'neighbours.k': (3, mode_probes.neighbours, BOTH),
    'neighbours.temperature': (1.0, mode_probes.neighbours, BOTH),
    'neighbours.mix': (0.1, mode_probes.neighbours, BOTH),
    'neighbours.reject': (0.99, mode_probes.neighbours, BOTH),

    'evaluate.depth': (5, mode_probes.neighbours, BOTH),
    'evaluate.false_accept_rate': (0.5, mode_probes.neighbours, BOTH),
    'evaluate.output': ('{place}/tables', mode_probes.tables, {}),

    'audit.folds': (3, mode_probes.predicted_of_folds, {}),
    'audit.model': ('elsewhere', mode_probes.audited, {}),
    'audit.top_k': (3, mode_probes.predicted_of_folds, {}),
    'audit.score': ('normalized_margin', mode_probes.decided, {}),
    'audit.rule': ('relabel', mode_probes.decided, {}),
    'audit.threshold_factor': (0.1, mode_probes.decided, {}),
    'audit.min_images_per_class': (23, mode_probes.decided, {'audit.threshold_factor': 1000.0}),
    'audit.rounds': (2, mode_probes.cleaned, {}),
    'audit.duplicate_similarity': (0.0, mode_probes.audited, {}),

    'audit.reviewed': ('{place}/decisions.jsonl', mode_probes.loaded, {}),

    'review.order': ('audit', mode_probes.reviewed, {}),
    'review.sample': (2, mode_probes.exchanged, {'review.write': '{place}/tasks.json'}),
    'review.others': ('cleaned', mode_probes.reviewed, {}),
    'review.port': (0, mode_probes.reviewed, {}),
    'review.reviewer': ('Ada', mode_probes.reviewed, {}),
    'review.program': ('fiftyone', mode_probes.exchanged, {'review.write': '{place}/tasks.json'}),
    'review.write': ('{place}/tasks.json', mode_probes.exchanged, {}),
    'review.read': ('{place}/done.json', mode_probes.exchanged, {}),

    'predict.by': ('both', mode_probes.neighbours, {'predict.by': 'neighbours'}),
    'predict.input': ('{place}/val', mode_probes.predictions, {}),
    'predict.model': ('{place}/export', mode_probes.predictions, {}),
    'predict.output': ('{place}/out/predictions.csv', mode_probes.predictions, {}),
    'predict.format': ('aliproducts', mode_probes.predictions, {}),
    'predict.top_k': (2, mode_probes.predictions, {}),

    'demo_page.port': (0, mode_probes.demo_page, {}),

    'export.format': ('saved_model,litert', mode_probes.exported, {}),
    'export.weights': ('int8', mode_probes.exported, {'export.format': 'saved_model,onnx'}),
    'export.measured': (7, mode_probes.exported, {'export.format': 'saved_model,onnx',
                                                  'export.weights': 'float16'}),
    'export.by': ('neighbours', mode_probes.exported, {}),
    'export.index_type': ('int8', mode_probes.exported, {'export.by': 'both'}),
    'export.folder': ('{place}/served', mode_probes.exported, {}),
    'export.name': ('shop', mode_probes.exported, {}),
    'export.top_k': (2, mode_probes.exported, {}),
    'export.optimise': (False, mode_probes.exported, {}),
    'export.freeze': (True, mode_probes.exported, {}),
    'export.bad_image': ('empty', mode_probes.exported, {}),
    'export.images': ('{place}/val', mode_probes.exported, {}),

    'report.output': ('{place}/page.html', mode_probes.page, {}),
    'report.pairs': (0, mode_probes.page, {}),
    'report.errors': (0, mode_probes.page, {}),
}

# Those of which an InputError is compared: it names the value.
REFUSED = {
    'data.dataset': 'a set takes seconds to prepare; tests/data/sources/test_tfds.py reads one',
}


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Pictures and tables, and two runs, run/0 and run/1."""
    folder = tmp_path_factory.mktemp('world')
    probes.world(folder)
    for seed in (0, 1):
        probes.run(config_of(folder, {**SHORT, 'seed': seed}), folder)
    return folder


@pytest.fixture(scope='module')
def seen(place):
    """What a probe sees, kept for the fields that begin alike."""
    known = {}

    def look(probe, changes):
        key = probe, repr(sorted(changes.items()))
        if key not in known:
            try:
                known[key] = probe(config_of(place, changes), place)
            except InputError as error:
                known[key] = error
        return known[key]

    return look


def config_of(place, changes):
    """The base with changes, each of them checked by the table."""
    config = recipes.defaults()
    recipes.change(config, {
        name: value.format(place=place) if isinstance(value, str) else value
        for name, value in {**BASE, **changes}.items()})
    return config


def test_every_field_has_a_row():
    assert ROWS.keys() == fields.TABLE.keys()


@pytest.mark.parametrize('name', ROWS)
def test_a_field_changes_what_it_names(seen, name):
    value, probe, beside = ROWS[name]
    if name == 'augment.policy' or 'augment.policy' in beside:
        pytest.importorskip('official', reason="needs pip install 'bsce-tf[augment]'")
    assert value != {**BASE, **beside}.get(name, fields.TABLE[name].default)
    before, after = seen(probe, beside), seen(probe, {**beside, name: value})
    if name in REFUSED:
        before, after = str(before), str(after)
    for found in (before, after):
        assert not isinstance(found, InputError), found
    assert before != after
