"""Every field of a config, once: default, what it accepts, what it means, when it may change.

`configs/default.py` takes its values from here, `config_check` its rules, `--help` its words, and
the resuming of a run what may differ.
"""

import math

from bsce_tf.fields.field import AUDIT, BOUNDED, DATA, LATER, ROUNDS, Field
from bsce_tf.fields.rules import (
    BOOLEAN,
    EPOCHS,
    MAYBE_SIZES,
    NAMES,
    STAGES,
    TEXT,
    integer,
    interval,
    number,
    number_or,
    one_of,
)

TABLE = {
    'seed': Field(0, integer(0, 2**31 - 1), 'Seed of weights, sampling, crops and augmentation.'),
    'deterministic': Field(False, BOOLEAN,
        'Two runs on one machine give equal weights. Slower.', LATER),
    'strategy': Field('auto', one_of('auto', 'one', 'mirrored', 'multiworker'),
        'Devices: one; mirrored (all GPUs of a machine); multiworker (several machines); auto '
        '(mirrored where there are several GPUs).', LATER),
    'replicas': Field(0, integer(0),
        'Devices of a machine to use. 0: all GPUs. On a CPU: that many logical devices.', LATER),
    'precision': Field('float32', one_of('float32', 'mixed_float16', 'mixed_bfloat16'),
        'Precision of the computation. The loss and the head stay in float32.'),
    'jit_compile': Field(False, BOOLEAN,
        'Compile the training step with XLA. Slower on CPUs.', LATER),
    'batch_size': Field(64, integer(1), 'Images of a step, over all replicas.'),
    'epochs': Field(30, integer(1), 'Epochs of a stage.', BOUNDED),
    'steps': Field(0, integer(0), "Steps of an epoch. 0: as many as the sampler's epoch has."),
    'stages': Field(({},), STAGES,
        'What each stage of the run changes, as {"sampler.gamma": 1.0, "epochs": 5}. A stage '
        'begins with the best weights of those before it.', BOUNDED),

    'data.source': Field('fashion_mnist', one_of('bsce_tf.data.sources:SOURCES', own=True),
        'Where images and labels come from.', DATA),
    'data.root': Field('', TEXT, 'Folder of the images, or of what the source reads.', DATA),
    'data.train': Field('', TEXT, 'List of training images.', DATA),
    'data.validation': Field('', TEXT,
        'List of validation images. Empty: a part of the training images is put aside.', DATA),
    'data.test': Field('', TEXT, 'List of test images. Empty: none.', ROUNDS),
    'data.dataset': Field('', TEXT, 'tfds: name of the data set, or name/config:version.', DATA),
    'data.image_column': Field('image', TEXT,
        'csv: name of the column of image paths; parquet: of images.', DATA),
    'data.label_column': Field('label', TEXT,
        'csv, parquet: name of the column of class names.', DATA),
    'data.classes': Field('', TEXT,
        'File of class names in the order of their ids, .json or .csv. Empty: the classes found '
        'in the data.', DATA),
    'data.clean': Field('', TEXT,
        'Clean lists: the folder of --mode=verify, or one of its lists; the cleaned.csv of '
        "--mode=audit; or one of each, 'A,B'. Empty: none.", DATA),
    'data.cache': Field('', TEXT,
        "Folder for indexes of long lists. Empty: in ~/.cache/bsce_tf. 'off': no index "
        'is kept.', LATER),
    'data.shard_images': Field(4096, integer(1), 'pack: images in a shard.', LATER),
    'data.max_pixels': Field(100_000_000, integer(0),
        'Images with more pixels count as bad and are not decoded. 0: no limit.', BOUNDED),
    'data.on_error': Field('stop', one_of('stop', 'skip'),
        'What a bad image does: stop the run, or be skipped (training takes another image of its'
        ' class).', LATER),
    'data.max_bad_fraction': Field(0.01, number(0, 1),
        'skip: the run stops when a larger share of a set is bad.', LATER),
    'data.warned': Field('keep', one_of('keep', 'bad'),
        'verify: whether an image counts as bad whose decoder warns, as of a damaged JPEG: keep '
        'it, or bad.', LATER),
    'data.validation_fraction': Field(0.1, number(0, 0.5, open_low=True),
        'Share of the training images that is put aside for validation, where no list of them is'
        ' given.'),
    'data.imbalance': Field(1.0, number(1),
        'Long tail put on the training set: images of the largest class / of the smallest.'),
    'data.noise': Field(0.0, number(0, 1), 'Share of the training labels that is made wrong.'),
    'data.noise_kind': Field('symmetric', one_of('symmetric', 'proportional', 'asymmetric'),
        'Which wrong labels: symmetric (any other class alike), proportional (in proportion to '
        'class sizes, which stay as they are), asymmetric (the class that it is taken for).'),

    'image.size': Field(331, integer(8), 'C: side of the crop that the network sees, in pixels.'),
    'image.scales': Field((), MAYBE_SIZES,
        'Training resizes each image to one of these sizes, in '
        "pixels, then crops C × C. (): in the paper's "
        "proportion to image.size; for 331 the paper's 384, "
        '412, 424, 436 and 464.', old=(384, 412, 424, 436, 464)),
    'image.crop': Field('multi_scale', one_of('multi_scale', 'random_resized'),
        'Crops of training: multi_scale (the paper), or random_resized.'),
    'image.area': Field((0.08, 1.0), interval(1),
        'random_resized: share of the image that a crop covers, from – to.'),
    'image.aspect_ratio': Field((0.75, 1.333), interval(),
        'random_resized: width / height of a crop, from – to.'),
    'image.aspect': Field('squash', one_of('squash', 'keep'),
        'Resize to S × S whatever the shape (squash, the paper), or the shorter side to S '
        '(keep).'),
    'image.antialias': Field(False, BOOLEAN, 'Low-pass filter when an image is made smaller.'),
    'image.eval_scale': Field(0, integer(0),
        'Validation resizes each image to this size, in pixels, then crops C × C from the '
        "centre. 0: in the paper's proportion to image.size; 436 for 331.", old=436),

    'augment.flip': Field(True, BOOLEAN, 'Mirror half of the images left to right.'),
    'augment.vertical_flip': Field(False, BOOLEAN, 'Mirror half of the images upside down.'),
    'augment.brightness': Field(0.0, number(0, 1),
        'Brightness times a factor from 1 − this to 1 + this.'),
    'augment.contrast': Field(0.0, number(0, 1),
        'Contrast times a factor from 1 − this to 1 + this.'),
    'augment.saturation': Field(0.0, number(0, 1),
        'Saturation times a factor from 1 − this to 1 + this.'),
    'augment.hue': Field(0.0, number(0, 0.5),
        'Turn of the hue by −this to this; 1 is a full turn.'),
    'augment.policy': Field('none', one_of('none', 'randaugment', 'autoaugment', own=True),
        'Learnt or random policy; both need the extra augment.'),
    'augment.num_layers': Field(2, integer(1), 'randaugment: operations on an image.'),
    'augment.magnitude': Field(9.0, number(0, 10), 'randaugment: strength of each operation.'),
    'augment.autoaugment_policy': Field('reduced_imagenet', TEXT,
        'autoaugment: name of a policy of tf-models-official.'),
    'augment.erasing': Field(0.0, number(0, 1),
        'Probability that a rectangle is replaced by noise.'),
    'augment.mixup': Field(0.0, number(0), 'α of MixUp. 0: off.'),
    'augment.cutmix': Field(0.0, number(0), 'α of CutMix. 0: off.'),

    'model.backbone': Field('pnasnet5large', one_of('bsce_tf.models.backbones:BACKBONES', own=True,
                                                    hub=True),
        'Network; --mode=models lists them.'),
    'model.weights': Field('', TEXT,
        'Weights to begin with: empty (random), imagenet, preset (of model.backbone=hub:PRESET), '
        'or a file.'),
    'model.pooling': Field('avg', one_of('avg', 'max', 'gem', 'token'),
        "Pooling of the last feature map, of a transformer its patches' tokens; or token, a "
        "transformer's own vector of an image (class token, SigLIP's attention pooling)."),
    'model.dropout': Field(0.0, number(0, 1, open_high=True), 'Dropout before the head.'),
    'model.embedding': Field(0, integer(0),
        'Width of a linear layer with BatchNorm between the pooled features and the head: the '
        'head has this many numbers a class. 0: none.'),
    'model.features': Field('backbone', one_of('backbone', 'embedding'),
        'What the crops of test time are averaged of, what an export gives as features and what '
        'an audit compares: the pooled features (backbone, the paper), or the embedding. The '
        'classes are the same, as the layer between them is linear.', AUDIT),
    'model.head': Field('linear', one_of('linear', 'cosine', 'tau', own=True),
        'linear; cosine (of angles between features and classes); tau (linear, with class '
        'vectors / length^τ).'),
    'model.head_sample': Field(1.0, number(0, 1, open_low=True),
        'Share of the classes, drawn anew in each step, that training computes besides those of '
        'the batch. 1: all. metrics.csv then has no training error (nan).'),
    'model.head_parts': Field('auto', one_of('auto', 'one', 'replicas'),
        'Several replicas: one (each holds the whole head), replicas (each holds a part of the '
        'classes), auto (replicas from 200,000 classes on, and with head_sample).', LATER),
    'model.head_scale': Field(10.0, number(0, open_low=True),
        'cosine: s; the logits lie between −s and s.'),
    'model.head_learn_scale': Field(True, BOOLEAN, 'cosine: whether s is learnt.'),
    'model.head_tau': Field(1.0, number(0), 'tau: τ. 0: as linear.'),
    'model.freeze': Field((), NAMES,
        "Layers that do not train: beginnings of their names, as 'block1', or patterns, as "
        "'*_bn'."),
    'model.batch_norm_momentum': Field(0.9, number(0, 1, open_high=True),
        "Momentum of BatchNorm's moving averages. 0: as the network was made, 0.99 in "
        "EfficientNet-Lite0 and Keras's ResNets, 0.9997 in NASNet-Mobile; a short fine-tune "
        'hardly moves those.', old=0.0),
    'model.sync_batch_norm': Field(True, BOOLEAN,
        'Statistics of BatchNorm over all replicas, so that the number of replicas does not '
        'change the run.'),

    'loss.name': Field('bsce', one_of('bsce_tf.losses:NAMES', own=True),
        'Loss. The paper: ce, bce, sce, bsce. For many classes: bsce_many. See '
        'bsce_tf/losses/table.py.'),
    'loss.alpha': Field(0.4, number(0),
        'sce, bsce, bsce_many: α, weight of the (balanced) cross-entropy.'),
    'loss.beta': Field(0.7, number(0),
        'sce, bsce, bsce_many: β, weight of the reverse cross-entropy.'),
    'loss.log_zero': Field(-4.0, number(-math.inf, 0, open_high=True),
        'A, the value of log 0 in the reverse cross-entropy.'),
    'loss.logit_bias': Field('by_name', number_or(('auto', 'by_name'), -20, 20),
        'ε of the reverse cross-entropy. auto: ln((K−1)/9). by_name: auto for bsce_many, 0 for '
        'sce and bsce.'),
    'loss.reverse_on': Field('by_name', one_of('by_name', 'raw', 'adjusted', 'weighted'),
        'The reverse cross-entropy is of the logits as they are (raw), of logits with the prior '
        'added (adjusted), or of the logits as they are and times class weights (weighted). '
        'by_name: weighted for bsce_many, raw for sce and bsce.'),
    'loss.label_smoothing': Field(0.0, number(0, 1, open_high=True),
        'Share of each label that is spread over all classes.'),
    'loss.balance': Field('by_name',
        one_of('by_name', 'none', 'weights', 'effective', 'logit_adjustment'),
        'How the loss balances classes: none; weights N / (K·n); effective (numbers of images); '
        'logit_adjustment (a prior on the logits); by_name (as the loss does by itself).'),
    'loss.weight_cap': Field(0.0, number(0), 'weights: largest class weight. 0: no cap.'),
    'loss.effective_beta': Field(0.9999, number(0, 1, open_high=True),
        'effective: β. 0 weighs all classes alike, near 1 by 1 / n.'),
    'loss.tau': Field(1.0, number(0, 10), 'logit_adjustment: τ, the factor of the log prior.'),
    'loss.focal_gamma': Field(2.0, number(0, 100), 'focal, cb_focal: γ.'),
    'loss.gce_q': Field(0.7, number(0, 1, open_low=True), 'gce: q.'),
    'loss.ldam_margin': Field(0.5, number(0, 60), 'ldam: margin of the smallest class.'),
    'loss.ldam_scale': Field(30.0, number(0, open_low=True), 'ldam: s, scale of the logits.'),
    'loss.nce_alpha': Field(1.0, number(0), 'nce_rce: weight of the normalised cross-entropy.'),
    'loss.rce_beta': Field(1.0, number(0), 'nce_rce: weight of the reverse cross-entropy.'),
    'loss.elr_strength': Field(3.0, number(0), 'elr: λ, weight of the memory term.'),
    'loss.elr_memory': Field(0.7, number(0, 1, open_high=True),
                             'elr: share of an image\'s memory that each new look keeps.'),
    'loss.elr_kept': Field(10, integer(1),
                           'elr: largest entries of a memory that are kept; 8 bytes each.'),
    'loss.seesaw_p': Field(0.8, number(0, 100), 'seesaw: exponent of the mitigation factor.'),
    'loss.seesaw_q': Field(2.0, number(0, 100), 'seesaw: exponent of the compensation factor.'),

    'optimizer.name': Field('sgd', one_of('sgd', 'adamw'), 'Optimizer.'),
    'optimizer.learning_rate': Field(0.01, number(0, open_low=True),
        'Learning rate to begin with.'),
    'optimizer.momentum': Field(0.9, number(0, 1, open_high=True), 'sgd: momentum.'),
    'optimizer.nesterov': Field(False, BOOLEAN, "sgd: Nesterov's momentum."),
    'optimizer.weight_decay': Field(0.0, number(0), 'Decoupled weight decay.'),
    'optimizer.decay_all': Field(False, BOOLEAN,
        "Decay BatchNorm, biases, GeM's p and the scale of a cosine head, too.", old=True),
    'optimizer.layer_decay': Field(1.0, number(0, 1, open_low=True),
        'Learning rate × this for each stage of the network further from the head.'),
    'optimizer.clip_norm': Field(0.0, number(0),
        'Longest gradient of a step, all variables together. 0: no limit.'),
    'optimizer.clip_value': Field(0.0, number(0), 'Largest entry of a gradient. 0: no limit.'),
    'optimizer.accumulate': Field(1, integer(1),
        'Steps whose gradients are averaged for one update.'),

    'schedule.name': Field('plateau', one_of('plateau', 'constant', 'cosine', 'step', own=True),
        'Learning rate: plateau (falls when the validation error does not), constant, cosine, '
        'step (falls at milestones).'),
    'schedule.factor': Field(0.1, number(0, 1, open_low=True, open_high=True),
        'plateau, step: rate × this at each fall.'),
    'schedule.patience': Field(3, integer(1),
        'plateau: epochs without a new best error before the rate falls.'),
    'schedule.min_delta': Field(0.0, number(0, 1),
        'A new best error has to be lower than the last one by this.'),
    'schedule.min_rate': Field(0.0, number(0), 'plateau: the rate falls no lower.'),
    'schedule.stop_patience': Field(0, integer(0),
        'Epochs without a new best error after which the stage ends. 0: never.', LATER),
    'schedule.milestones': Field((), EPOCHS, 'step: epochs after which the rate falls.'),
    'schedule.final': Field(0.0, number(0, 1), 'cosine: last rate / first rate.'),
    'schedule.warmup_steps': Field(0, integer(0), 'Steps in which the rate rises from 0.'),

    'sampler.gamma': Field(0.0, number(0),
        'γ: classes are drawn in proportion to n^(1−γ). 0: by images; 0.5: square root; 1: all '
        'classes alike.'),
    'sampler.cap': Field(0, integer(0), 'Most images of a class that count in an epoch. 0: all.'),

    'averaging.ema': Field(0.0, number(0, 1, open_high=True),
        'Decay of the exponential moving average of the weights, a step. 0: none is kept.'),
    'averaging.swa_epochs': Field(0, integer(0),
        'SWA: average of the weights at the end of so many last epochs. 0: none.'),
    'averaging.statistics': Field('auto', one_of('auto', 'moving', 'estimated'),
        'Statistics of BatchNorm with which weights are validated and kept: '
        'moving averages; estimated anew on averaging.batches; or auto '
        '(estimated where model.weights is set). In four fine-tunes of '
        'EfficientNet-Lite0 of 36 to 250 steps the mean error was 0.229 with '
        'estimated statistics, 0.257 with moving ones. Those of SWA are always '
        'estimated.', old='moving'),
    'averaging.batches': Field(100, integer(1),
        'Training batches from which statistics of BatchNorm are estimated anew, at most an '
        'epoch.'),
    'averaging.select': Field('raw', one_of('best', 'raw', 'ema', 'swa'),
        'Weights to use after training: raw, ema, swa, or best (lowest validation '
        'error).', BOUNDED),

    'checkpoint.steps': Field(0, integer(0),
        'Save every so many steps. 0: only after epochs and minutes.', LATER),
    'checkpoint.minutes': Field(10.0, number(0),
        'Save when so many minutes have gone. 0: only after epochs and steps.', LATER),
    'checkpoint.keep': Field(2, integer(1), 'Checkpoints to keep.', LATER),

    'tracking': Field('none', one_of('none', 'mlflow', 'wandb'),
        'Where else the history goes.', LATER),

    'tta.scales': Field((), MAYBE_SIZES,
        'Test time: sizes of the crops whose features are averaged, in pixels. (): '
        'image.scales.', AUDIT),

    'adjust.tau': Field(0.0, number_or(('auto',), 0, 10),
        'Logit adjustment after training: τ·log π is taken off the logits. 0: off. auto: the '
        'best τ on validation.', LATER),

    'evaluate.output': Field('', TEXT,
        'Folder for the tables of several runs. Empty: the first --workdir.', LATER),

    'audit.folds': Field(5, integer(2),
        'Networks to train; each judges the images that it was not trained on.', AUDIT),
    'audit.model': Field('', TEXT,
        'A run on other images, which judges all images. Empty: train audit.folds '
        'networks.', AUDIT),
    'audit.top_k': Field(20, integer(2), 'Most probable classes to keep of an image.', AUDIT),
    'audit.score': Field('self_confidence',
        one_of('self_confidence', 'normalized_margin', 'adjusted_self_confidence',
        'adjusted_margin'),
        'Score that the list of wrong labels is ordered by; see '
        'bsce_tf/audit/confident.py.', ROUNDS),
    'audit.rule': Field('drop', one_of('drop', 'relabel'),
        'What becomes of listed images: drop them, or relabel them where the '
        'suggestion is sure.', ROUNDS),
    'audit.threshold_factor': Field(0.5, number(0, open_low=True),
        'A listed image leaves only where its label is less probable than this × the mean of its'
        ' class. 1000: every listed image leaves.', ROUNDS),
    'audit.min_images_per_class': Field(5, integer(1),
        'Images that every class keeps at least.', ROUNDS),
    'audit.rounds': Field(1, integer(1), 'clean_train: rounds of audit and training.', LATER),
    'audit.duplicate_similarity': Field(0.98, number(0, 1),
        'Least cosine of the features of near-duplicates. 0: no search.', LATER),

    'predict.input': Field('', TEXT,
        'Folder, list or image to predict. Empty: the test set.', LATER),
    'predict.model': Field('', TEXT,
        'SavedModel to predict with. Empty: the runs in --workdir.', LATER),
    'predict.output': Field('', TEXT,
        'File to write. Empty: predictions.csv in the first --workdir.', LATER),
    'predict.format': Field('csv', one_of('csv', 'aliproducts'),
        "csv, or aliproducts (the challenge's submission).", LATER),
    'predict.top_k': Field(5, integer(1), 'Classes of an image.', LATER),

    'export.folder': Field('', TEXT,
        'Folder that TensorFlow Serving watches. Empty: export in the first --workdir.', LATER),
    'export.name': Field('bsce_tf', TEXT, 'Name of the model in TensorFlow Serving.', LATER),
    'export.top_k': Field(5, integer(1), 'Classes of an answer.', LATER),
    'export.optimise': Field(True, BOOLEAN, 'Fold BatchNorm into the layers before it.', LATER),
    'export.freeze': Field(False, BOOLEAN,
        'Weights as constants: faster with oneDNN, about 8 × the memory.', LATER),
    'export.bad_image': Field('error', one_of('error', 'empty'),
        'What a bad image does: fail its request (error), or get an empty answer (empty).', LATER),
    'export.images': Field('', TEXT,
        "Image or folder of images to check the export with. Empty: the run's own data.", LATER),

    'report.output': Field('', TEXT,
        'File to write. Empty: report.html in the first --workdir.', LATER),
    'report.pairs': Field(12, integer(0),
        'Pairs of confused classes to show of a run; fewer where there are more than 4 '
        'runs.', LATER),
    'report.errors': Field(24, integer(0),
        'Worst classes and surest mistakes to show of a run; fewer where there are more than 4 '
        'runs.', LATER),
}
