"""Every field of a config, once: default, what it accepts, what it means, when it may change.

`configs/default.py` takes its values from here, `config_check` its rules, `--help` its words, and
the resuming of a run what may differ.
"""

import math
from typing import NamedTuple

from bsce_tf.fields.rules import (
    BOOLEAN,
    EPOCHS,
    MAYBE_SIZES,
    NAMES,
    RANGE,
    SIZES,
    STAGES,
    TEXT,
    Rule,
    integer,
    number,
    number_or,
    one_of,
)

# Whether a field changes the weights of steps already made. LATER: it does not, so it may change
# when a run goes on. FIXED: it does, so another value needs another run.
FIXED, LATER = 'fixed', 'later'


class Field(NamedTuple):
    """One field.

    Attributes:
      default: its value in configs/default.py.
      rule: a `rules.Rule`.
      help: meaning and unit.
      resume: FIXED or LATER.
    """

    default: object
    rule: Rule
    help: str
    resume: str = FIXED


TABLE = {
    'seed': Field(0, integer(0, 2**31 - 1),
        'of weights, sampling, crops and augmentation; 0 to 2³¹−1'),
    'deterministic': Field(False, BOOLEAN,
        'equal weights from two runs on one machine; slower', LATER),
    'strategy': Field('auto', one_of('auto', 'one', 'mirrored', 'multiworker'),
        'auto | one | mirrored | multiworker: see README.md', LATER),
    'replicas': Field(0, integer(0),
        'devices of a machine; 0: all GPUs; on a CPU N logical ones', LATER),
    'precision': Field('float32', one_of('float32', 'mixed_float16', 'mixed_bfloat16'),
        'float32 | mixed_float16 | mixed_bfloat16'),
    'jit_compile': Field(False, BOOLEAN, 'compile the step by XLA; slower on CPUs', LATER),
    'batch_size': Field(64, integer(1), 'global, over all replicas; at least 1'),
    'epochs': Field(30, integer(1), 'at least 1'),
    'steps': Field(0, integer(0), "of an epoch; 0: as many as the sampler's epoch has"),
    'stages': Field(({},), STAGES,
        "what each stage changes: {'sampler.gamma': 1.0, 'epochs': 5}, …"),

    'data.source': Field('fashion_mnist', one_of('bsce_tf.data.sources:SOURCES'),
        'a name of bsce_tf.data.sources.SOURCES'),
    'data.root': Field('', TEXT,
        "folder of the images; what it means is the source's matter", LATER),
    'data.train': Field('', TEXT, 'list of training images'),
    'data.validation': Field('', TEXT,
        'list of validation images; empty: a stratified part of training'),
    'data.test': Field('', TEXT, 'list of test images; empty: none', LATER),
    'data.dataset': Field('', TEXT, 'tfds: name, or name/config:version'),
    'data.image_column': Field('image', TEXT, 'csv: column of paths'),
    'data.label_column': Field('label', TEXT, 'csv: column of class names'),
    'data.classes': Field('', TEXT, ".json or .csv of class names by id; '': found in the data"),
    'data.clean': Field('', TEXT,
        "folder of --mode=verify's clean lists, or one list; or the cleaned.csv of "
        "--mode=audit; or both, 'A,B'; '': none"),
    'data.cache': Field('', TEXT,
        "folder for indexes of long lists; '': ~/.cache/bsce-tf; off: none", LATER),
    'data.shard_images': Field(4096, integer(1),
        'images in a shard that --mode=pack writes; at least 1', LATER),
    'data.max_pixels': Field(100_000_000, integer(0),
        'larger images count as bad, undecoded; 0: no limit'),
    'data.on_error': Field('stop', one_of('stop', 'skip'),
        'a bad image: stop | skip (train on another of its class)', LATER),
    'data.max_bad_fraction': Field(0.01, number(0, 1),
        'skip stops when more of a set is bad; 0 to 1', LATER),
    'data.validation_fraction': Field(0.1, number(0, 0.5, open_low=True),
        'of training, where no validation list is given; to 0.5'),
    'data.imbalance': Field(1.0, number(1),
        'long tail put on training: largest class / smallest; ≥ 1'),
    'data.noise': Field(0.0, number(0, 1), 'share of training labels made wrong, 0 to 1'),
    'data.noise_kind': Field('symmetric', one_of('symmetric', 'proportional', 'asymmetric'),
        'symmetric | proportional (to class sizes, which stay) | asymmetric (pairs)'),

    'image.size': Field(331, integer(8),
        'C: side of the crop that the network sees, in pixels; at least 8'),
    'image.scales': Field((384, 412, 424, 436, 464), SIZES,
        'training resizes to one of these, then crops; ≥ size'),
    'image.crop': Field('multi_scale', one_of('multi_scale', 'random_resized'),
        'of training: multi_scale | random_resized'),
    'image.area': Field((0.08, 1.0), RANGE, 'random_resized: share of the image; above 0 to 1'),
    'image.aspect_ratio': Field((0.75, 1.333), RANGE, 'random_resized: width / height'),
    'image.aspect': Field('squash', one_of('squash', 'keep'),
        'resize to S × S (squash, the paper) or the shorter side (keep)'),
    'image.antialias': Field(False, BOOLEAN, 'low-pass filter when an image is made smaller'),
    'image.eval_scale': Field(436, integer(8),
        'validation resizes to this, then crops the centre; ≥ size'),

    'augment.flip': Field(True, BOOLEAN, 'mirror half of the images left to right'),
    'augment.vertical_flip': Field(False, BOOLEAN, 'mirror half of the images upside down'),
    'augment.brightness': Field(0.0, number(0, 1), 'factor 1 ± this; 0 to 1'),
    'augment.contrast': Field(0.0, number(0, 1), 'factor 1 ± this; 0 to 1'),
    'augment.saturation': Field(0.0, number(0, 1), 'factor 1 ± this; 0 to 1'),
    'augment.hue': Field(0.0, number(0, 0.5), 'turn of the colours, ± this; 0 to 0.5'),
    'augment.policy': Field('none', one_of('none', 'randaugment', 'autoaugment'),
        'none | randaugment | autoaugment'),
    'augment.num_layers': Field(2, integer(1), 'randaugment: operations on an image; at least 1'),
    'augment.magnitude': Field(9.0, number(0, 10), 'randaugment: strength of each; 0 to 10'),
    'augment.autoaugment_policy': Field('reduced_imagenet', TEXT, 'a policy of tf-models-official'),
    'augment.erasing': Field(0.0, number(0, 1), 'probability of a rectangle of noise; 0 to 1'),
    'augment.mixup': Field(0.0, number(0), 'α of MixUp; 0: none'),
    'augment.cutmix': Field(0.0, number(0), 'α of CutMix; 0: none'),

    'model.backbone': Field('pnasnet5large', one_of('bsce_tf.models.backbones:BACKBONES'),
        'a name of bsce_tf.models.backbones.BACKBONES'),
    'model.weights': Field('', TEXT, "'' (random), imagenet, or a file"),
    'model.pooling': Field('avg', one_of('avg', 'max', 'gem'),
        'of the last feature map: avg | max | gem'),
    'model.dropout': Field(0.0, number(0, 1, open_high=True), 'before the head; 0 to below 1'),
    'model.head': Field('linear', one_of('linear', 'cosine', 'tau'),
        'linear | cosine | tau (a linear one, class vectors / length^τ)'),
    'model.head_scale': Field(10.0, number(0, open_low=True),
        'cosine: s, the logits lie in −s … s; > 0'),
    'model.head_learn_scale': Field(True, BOOLEAN, 'cosine: whether s is learnt'),
    'model.head_tau': Field(1.0, number(0), 'tau: τ, 0 (linear) or more'),
    'model.freeze': Field((), NAMES,
        'layers that do not train: beginnings or patterns of their names'),
    'model.sync_batch_norm': Field(True, BOOLEAN,
        'statistics over all replicas, so their number changes nothing'),

    'loss.name': Field('bsce', one_of('bsce_tf.losses:NAMES'),
        'a name of bsce_tf/losses/table.py: ce | bce | sce | bsce | bsce_many | …'),
    'loss.alpha': Field(0.4, number(0),
        'α of sce, bsce and bsce_many: weight of the (balanced) cross-entropy; ≥ 0'),
    'loss.beta': Field(0.7, number(0),
        'β of sce, bsce and bsce_many: weight of the reverse cross-entropy; ≥ 0'),
    'loss.log_zero': Field(-4.0, number(-math.inf, 0, open_high=True),
        'A, what log 0 is taken to be in the reverse cross-entropy; < 0'),
    'loss.logit_bias': Field('by_name', number_or(('auto', 'by_name'), -20, 20),
        "ε of the reverse term: a number, auto (ln((K−1)/9)), or by_name: auto of bsce_many, 0 of "
        'sce and bsce'),
    'loss.reverse_on': Field('raw', one_of('raw', 'adjusted'),
        "raw | adjusted: whether a prior is in the reverse term's logits, too"),
    'loss.label_smoothing': Field(0.0, number(0, 1, open_high=True), '0 to below 1'),
    'loss.balance': Field('by_name', one_of(
        'by_name', 'none', 'weights', 'effective', 'logit_adjustment'),
        'by_name | none | weights (N / (K·n)) | effective (number of images) | logit_adjustment'),
    'loss.weight_cap': Field(0.0, number(0),
        'weights: largest class weight w(k); 0: no cap'),
    'loss.effective_beta': Field(0.9999, number(0, 1, open_high=True),
        'effective: β, 0 (all alike) to below 1 (as 1 / n)'),
    'loss.tau': Field(1.0, number(0, 10), 'logit_adjustment: τ, 0 (none) to 10'),
    'loss.focal_gamma': Field(2.0, number(0, 100), 'focal, cb_focal: γ; 0 to 100'),
    'loss.gce_q': Field(0.7, number(0, 1, open_low=True), 'gce: q; above 0 to 1'),
    'loss.ldam_margin': Field(0.5, number(0, 60), "ldam: the smallest class's margin; ≥ 0"),
    'loss.ldam_scale': Field(30.0, number(0, open_low=True),
        "ldam: s, that of the head's logits; > 0; times the margin ≤ 60"),
    'loss.nce_alpha': Field(1.0, number(0), 'nce_rce: weight of the normalised term; ≥ 0'),
    'loss.rce_beta': Field(1.0, number(0), 'nce_rce: weight of the reverse term; ≥ 0'),
    'loss.seesaw_p': Field(0.8, number(0, 100), 'seesaw: of the mitigation; 0 to 100'),
    'loss.seesaw_q': Field(2.0, number(0, 100), 'seesaw: of the compensation; 0 to 100'),

    'optimizer.name': Field('sgd', one_of('sgd', 'adamw'), 'sgd | adamw'),
    'optimizer.learning_rate': Field(0.01, number(0, open_low=True), '> 0'),
    'optimizer.momentum': Field(0.9, number(0, 1, open_high=True), 'of sgd; 0 to below 1'),
    'optimizer.nesterov': Field(False, BOOLEAN, 'of sgd'),
    'optimizer.weight_decay': Field(0.0, number(0), 'decoupled; ≥ 0'),
    'optimizer.layer_decay': Field(1.0, number(0, 1, open_low=True),
        'rate × this for each stage further from the head; above 0 to 1'),
    'optimizer.clip_norm': Field(0.0, number(0),
        'longest gradient of a step, all variables together; 0: any'),
    'optimizer.clip_value': Field(0.0, number(0), 'largest entry of a gradient; 0: any'),
    'optimizer.accumulate': Field(1, integer(1),
        'steps whose gradients make one update; at least 1'),

    'schedule.name': Field('plateau', one_of('plateau', 'constant', 'cosine', 'step'),
        'plateau (of the validation error) | constant | cosine | step'),
    'schedule.factor': Field(0.1, number(0, 1, open_low=True, open_high=True),
        'rate × factor at a plateau or milestone; above 0, below 1'),
    'schedule.patience': Field(3, integer(1),
        'plateau: epochs without a new best before that; at least 1'),
    'schedule.milestones': Field((), EPOCHS, 'step: epochs after which the rate falls'),
    'schedule.final': Field(0.0, number(0, 1), 'cosine: last rate / first; 0 to 1'),
    'schedule.warmup_steps': Field(0, integer(0),
        'steps in which the rate rises from 0; at least 0'),

    'sampler.gamma': Field(0.0, number(0),
        'γ: 0 instance-balanced, 0.5 square-root, 1 class-balanced; ≥ 0'),
    'sampler.cap': Field(0, integer(0), 'most images of a class that count in an epoch; 0: no cap'),

    'averaging.ema': Field(0.0, number(0, 1, open_high=True),
        'decay a step of the exponential average of weights; 0: none'),
    'averaging.swa_epochs': Field(0, integer(0),
        'average the weights at the end of the last epochs; 0: none'),
    'averaging.batches': Field(100, integer(1),
        "training batches to estimate SWA's BatchNorm statistics anew"),
    'averaging.select': Field('raw', one_of('best', 'raw', 'ema', 'swa'),
        'evaluate and export: raw | ema | swa | best (on validation)'),

    'checkpoint.steps': Field(0, integer(0),
        'save every so many steps; 0: not; always after an epoch', LATER),
    'checkpoint.minutes': Field(10.0, number(0), 'save when so much time has gone; 0: not', LATER),
    'checkpoint.keep': Field(2, integer(1), 'last checkpoints that are kept; at least 1', LATER),

    'tracking': Field('none', one_of('none', 'mlflow', 'wandb'),
        'none | mlflow | wandb: where else to send the history', LATER),

    'tta.scales': Field((), MAYBE_SIZES,
        'test time: centre crops of these sizes; (): image.scales', LATER),

    'evaluate.output': Field('', TEXT,
        "folder for the tables of several runs; '': the first workdir", LATER),

    'audit.folds': Field(5, integer(2),
        'networks, each judges images that it was not trained on; ≥ 2', LATER),
    'audit.model': Field('', TEXT,
        "a run on other images, which judges all; '': audit.folds", LATER),
    'audit.top_k': Field(20, integer(2),
        'most probable classes that are kept of an image; at least 2', LATER),
    'audit.score': Field(
        'self_confidence', one_of('self_confidence', 'normalized_margin',
                                  'adjusted_self_confidence', 'adjusted_margin'),
        'order of the list of wrong labels; see bsce_tf/audit/confident.py', LATER),
    'audit.rule': Field('drop', one_of('drop', 'relabel'),
        'listed images: drop | relabel (where that is sure, else drop)', LATER),
    'audit.below': Field(0.5, number(0, open_low=True),
        "they leave where their label's probability is below this × the mean of its "
        'class, so that hard classes stay; > 0; 1000: always', LATER),
    'audit.keep': Field(5, integer(1),
        'least images that keep their label in every class; at least 1', LATER),
    'audit.rounds': Field(1, integer(1),
        'clean_train: audits, each of what the last one left; ≥ 1', LATER),
    'audit.duplicate_similarity': Field(0.98, number(0, 1),
        "least cosine of near-duplicates' features; 0: no search", LATER),

    'predict.input': Field('', TEXT,
        "folder, list or image to predict; '': the test set of config.data", LATER),
    'predict.model': Field('', TEXT,
        "SavedModel to predict with; '': the runs in --workdir", LATER),
    'predict.output': Field('', TEXT,
        "file to write; '': predictions.csv in the first workdir", LATER),
    'predict.format': Field('csv', one_of('csv', 'aliproducts'),
        "csv | aliproducts (the challenge's submission)", LATER),
    'predict.top_k': Field(5, integer(1), 'classes of an image', LATER),

    'export.folder': Field('', TEXT,
        "that TF Serving watches; '': export in the first workdir", LATER),
    'export.name': Field('bsce_tf', TEXT, 'of the model in TF Serving', LATER),
    'export.top_k': Field(5, integer(1), 'classes of an answer', LATER),
    'export.optimise': Field(True, BOOLEAN, 'fold BatchNorm into the layers before it', LATER),
    'export.freeze': Field(False, BOOLEAN,
        'weights as constants: faster with oneDNN, about 8 × the memory', LATER),
    'export.bad_image': Field('error', one_of('error', 'empty'),
        'a bad image of a request: error | empty (it fails alone)', LATER),
    'export.images': Field('', TEXT,
        "image or folder to check the export with; '': the run's own data", LATER),

    'report.output': Field('', TEXT, "file to write; '': report.html in the first workdir", LATER),
    'report.pairs': Field(12, integer(0),
        'confused pairs of classes of a run; of more than 4 runs, fewer', LATER),
    'report.errors': Field(24, integer(0),
        'worst classes and surest mistakes of a run; as report.pairs', LATER),
}
