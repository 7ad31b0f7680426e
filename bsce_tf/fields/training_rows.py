"""Rows of the table of fields: network, loss and training."""

import math

from bsce_tf.fields.field import AUDIT, BOUNDED, LATER, Field
from bsce_tf.fields.rules import BOOLEAN, EPOCHS, NAMES, TEXT, integer, number, number_or, one_of

ROWS = {
    'model.backbone': Field('pnasnet5large',
        one_of('bsce_tf.models.backbones:BACKBONES', own=True, hub=True),
        'Backbone network; --mode=models lists them.'),
    'model.weights': Field('', TEXT,
        'Initial weights: empty (random), imagenet, preset (those of model.backbone=hub:PRESET), '
        'or a file.'),
    'model.pooling': Field('avg', one_of('avg', 'max', 'gem', 'token'),
        'Pooling of the last feature map (in a transformer: of the patch tokens): avg, max or gem. '
        "token: a transformer's own image vector (class token, SigLIP's attention pooling)."),
    'model.dropout': Field(0.0, number(0, 1, open_high=True), 'Dropout rate before the head.'),
    'model.embedding': Field(0, integer(0),
        'Width of a linear layer with BatchNorm between the pooled features and the head, which '
        'then has this many weights per class. 0: no such layer.'),
    'model.features': Field('backbone', one_of('backbone', 'embedding'),
        'Features that test-time crops are averaged over, that an export gives and that an audit '
        'compares: the pooled features (backbone, the paper), or the embedding. Both predict the '
        'same classes, as the layer between them is linear.', AUDIT),
    'model.head': Field('linear', one_of('linear', 'cosine', 'tau', own=True),
        'Classifier: linear; cosine (logits from the angles between features and class vectors); '
        'tau (linear, with class vectors / length^τ).'),
    'model.head_sample': Field(1.0, number(0, 1, open_low=True),
        'Share of the other classes, drawn anew at each step, for which training computes logits '
        'beside the classes of the batch. 1: all. Below 1, metrics.csv has no training error '
        '(nan).'),
    'model.head_parts': Field('auto', one_of('auto', 'one', 'replicas'),
        'Several replicas: each holds the whole head (one), or the weights of a part of the '
        'classes (replicas). auto: replicas from 200,000 classes on and with model.head_sample < '
        '1, else one.', LATER),
    'model.head_scale': Field(10.0, number(0, open_low=True),
        'cosine: scale s; the logits lie between −s and s.'),
    'model.head_learn_scale': Field(True, BOOLEAN, 'cosine: whether s is trained.'),
    'model.head_tau': Field(1.0, number(0), 'tau: exponent τ. 0: as linear.'),
    'model.freeze': Field((), NAMES,
        "Layers that are not trained: beginnings of their names, such as 'block1', or patterns, "
        "such as '*_bn'."),
    'model.batch_norm_momentum': Field(0.9, number(0, 1, open_high=True),
        "Momentum of BatchNorm's moving averages. 0: that of the backbone as published (0.99 in "
        "EfficientNet-Lite0 and Keras's ResNets, 0.9997 in NASNet-Mobile), too slow for a short "
        'fine-tune.', old=0.0),
    'model.sync_batch_norm': Field(True, BOOLEAN,
        'BatchNorm computes its statistics over all replicas, so that their number does not change '
        'the run.'),

    'loss.name': Field('bsce', one_of('bsce_tf.losses:NAMES', own=True),
        'Loss. The paper: ce, bce, sce, bsce. For many classes: bsce_many. See '
        'bsce_tf/losses/table.py.'),
    'loss.alpha': Field('by_name', number_or(('by_name',), 0),
        'sce, bsce, bsce_many: α, weight of the (balanced) cross-entropy. by_name: 1 for '
        "bsce_many, the paper's 0.4 for sce and bsce.", old=0.4),
    'loss.beta': Field(0.7, number(0),
        'sce, bsce, bsce_many: β, weight of the reverse cross-entropy.'),
    'loss.log_zero': Field(-4.0, number(-math.inf, 0, open_high=True),
        'A, the value of log 0 in the reverse cross-entropy.'),
    'loss.logit_bias': Field('by_name', number_or(('auto', 'by_name'), -20, 20),
        'ε, added to the logit of the given class in the reverse cross-entropy. auto: ln((K−1)/9). '
        'by_name: auto for bsce_many, 0 for sce and bsce.'),
    'loss.reverse_on': Field('by_name', one_of('by_name', 'raw', 'adjusted', 'weighted'),
        'Logits of the reverse cross-entropy: raw; adjusted (with the log prior added); weighted '
        '(raw, and the term × the class weights). by_name: weighted for bsce_many, raw for sce and '
        'bsce.'),
    'loss.label_smoothing': Field(0.0, number(0, 1, open_high=True),
        'Share of each label that is spread over all classes.'),
    'loss.balance': Field('by_name',
        one_of('by_name', 'none', 'weights', 'effective', 'logit_adjustment'),
        'How the loss balances classes: none; weights N / (K·n); effective (weights from effective '
        'numbers of images); logit_adjustment (log prior added to the logits); by_name (what '
        'loss.name stands for).'),
    'loss.weight_cap': Field(0.0, number(0), 'weights: largest class weight. 0: no cap.'),
    'loss.effective_beta': Field(0.9999, number(0, 1, open_high=True),
        'effective: β. At 0 all classes weigh the same, near 1 in proportion to 1 / n.'),
    'loss.tau': Field(1.0, number(0, 10), 'logit_adjustment: τ, the factor of the log prior.'),
    'loss.focal_gamma': Field(2.0, number(0, 100), 'focal, cb_focal: γ.'),
    'loss.gce_q': Field(0.7, number(0, 1, open_low=True), 'gce: q.'),
    'loss.ldam_margin': Field(0.5, number(0, 60), 'ldam: margin of the smallest class.'),
    'loss.ldam_scale': Field(30.0, number(0, open_low=True),
        'ldam: s, which model.head_scale must be, too, with a cosine head.'),
    'loss.nce_alpha': Field(1.0, number(0), 'nce_rce: weight of the normalised cross-entropy.'),
    'loss.rce_beta': Field(1.0, number(0), 'nce_rce: weight of the reverse cross-entropy.'),
    'loss.elr_strength': Field(3.0, number(0), 'elr: λ, weight of the memory term.'),
    'loss.elr_memory': Field(0.7, number(0, 1, open_high=True),
        "elr: share of an image's memory that stays at each update; the rest is the new "
        'prediction.'),
    'loss.elr_kept': Field(10, integer(1),
        "elr: number of classes in an image's memory, the most probable ones; 8 bytes each."),
    'loss.seesaw_p': Field(0.8, number(0, 100), 'seesaw: exponent of the mitigation factor.'),
    'loss.seesaw_q': Field(2.0, number(0, 100), 'seesaw: exponent of the compensation factor.'),

    'optimizer.name': Field('sgd', one_of('sgd', 'adamw'), 'Optimizer.'),
    'optimizer.learning_rate': Field(0.01, number(0, open_low=True), 'Initial learning rate.'),
    'optimizer.momentum': Field(0.9, number(0, 1, open_high=True), 'sgd: momentum.'),
    'optimizer.nesterov': Field(False, BOOLEAN, "sgd: Nesterov's momentum."),
    'optimizer.weight_decay': Field(0.0, number(0), 'Decoupled weight decay.'),
    'optimizer.decay_all': Field(False, BOOLEAN,
        "Weight decay also of BatchNorm, biases, GeM's p and the scale of a cosine "
        'head.', old=True),
    'optimizer.layer_decay': Field(1.0, number(0, 1, open_low=True),
        'Layer-wise decay: learning rate × this^d. d is 0 in the head and grows by 1 with each '
        'stage of the network towards the images. 1: off.'),
    'optimizer.clip_norm': Field(0.0, number(0),
        'Largest norm of the gradient of all variables together. 0: no clipping.'),
    'optimizer.clip_value': Field(0.0, number(0),
        'Largest absolute value of a gradient entry. 0: no clipping.'),
    'optimizer.accumulate': Field(1, integer(1),
        'Steps whose gradients are averaged for one update.'),

    'schedule.name': Field('plateau', one_of('plateau', 'constant', 'cosine', 'step', own=True),
        'Learning rate: plateau (drops when the validation error stops falling), constant, cosine, '
        'step (drops at schedule.milestones).'),
    'schedule.factor': Field(0.1, number(0, 1, open_low=True, open_high=True),
        'plateau, step: learning rate × this at each drop.'),
    'schedule.patience': Field(3, integer(1),
        'plateau: epochs without a new lowest error before the learning rate drops.'),
    'schedule.min_delta': Field(0.0, number(0, 1),
        'An error counts as a new lowest one only if it is below the last by more than this.'),
    'schedule.min_rate': Field(0.0, number(0), 'plateau: lowest learning rate.'),
    'schedule.stop_patience': Field(0, integer(0),
        'Epochs without a new lowest error after which the stage ends. 0: never.', LATER),
    'schedule.milestones': Field((), EPOCHS, 'step: epochs after which the learning rate drops.'),
    'schedule.final': Field(0.0, number(0, 1), 'cosine: last learning rate / first one.'),
    'schedule.warmup_steps': Field(0, integer(0),
        'Steps in which the learning rate rises linearly from 0.'),

    'sampler.gamma': Field(0.0, number(0),
        'γ: classes are drawn in proportion to n^(1−γ), n images of the class. 0: all images '
        'alike; 0.5: square root; 1: all classes alike.'),
    'sampler.cap': Field(0, integer(0),
        'Larger classes count as classes of this many images in an epoch. 0: no cap.'),

    'averaging.ema': Field(0.0, number(0, 1, open_high=True),
        'EMA: decay of the exponential moving average of the weights, per step. 0: no EMA.'),
    'averaging.swa_epochs': Field(0, integer(0),
        'SWA: number of last epochs whose final weights are averaged. 0: no SWA.'),
    'averaging.statistics': Field('auto', one_of('auto', 'moving', 'estimated'),
        'BatchNorm statistics with which weights are validated and saved: moving (averages of '
        'training); estimated (anew, on averaging.batches); auto (estimated where model.weights is '
        'set, else moving). SWA always takes estimated. In three fine-tunes of EfficientNet-Lite0 '
        'of 19 steps the mean error was 0.339 with estimated, 0.763 with moving; in three of '
        '188 steps 0.125 and 0.132.', old='moving'),
    'averaging.batches': Field(100, integer(1),
        'Training batches on which BatchNorm statistics are estimated, at most one epoch.'),
    'averaging.select': Field('raw', one_of('best', 'raw', 'ema', 'swa'),
        'Weights to use after training: raw, ema, swa, or best (those of the lowest validation '
        'error).', BOUNDED),

    'checkpoint.steps': Field(0, integer(0),
        'Steps between checkpoints, beside those after each epoch. 0: none.', LATER),
    'checkpoint.minutes': Field(10.0, number(0),
        'Minutes between checkpoints, beside those after each epoch. 0: none.', LATER),
    'checkpoint.keep': Field(2, integer(1), 'Number of last checkpoints to keep.', LATER),
    'tracking': Field('none', one_of('none', 'mlflow', 'wandb'),
        'Service that also gets the training history.', LATER),
}
