"""Every loss beside the others, from ten to eleven thousand classes, with the noise of the web.

    nice -n 15 .venv/bin/python -m experiments.losses --processes=2

Long tails (imbalance 100 to 190) and wrong labels in proportion to class sizes, on Fashion-MNIST,
on drawings (`experiments/drawings.py`, made here where they are missing) and on Hangul
(`experiments/hangul.py`, to be made before with --copies=3). Runs of -tuned begin with the weights
of `experiments/pretrain.py`, to be made before. balanced20 to balanced60 have no tail and symmetric
noise. The same small network, steps and learning rates for all losses of a condition; each loss has
the rate that is best on validation, whose labels are as wrong as those of training. Runs are
deterministic. Writes results/losses.csv, .md and .svg, and losses_growth.svg, errors against
classes; what is most important first.
"""

import pathlib

from absl import app

from bsce_tf import files
from configs import default
from experiments import drawings, epochs, picture, study

DRAWN, LARGEST, SMALLEST, TEST_IMAGES = pathlib.Path('.data/drawings'), 200, 2, 5000
PRETRAINED = pathlib.Path('runs/pretrained.weights.h5')  # of experiments/pretrain.py
RATES = [0.3, 0.1, 1.0, 0.03]  # what is most probably chosen first
ARMS = {
    'ce': {'loss.name': 'ce'},
    'bsce': {'loss.name': 'bsce'},
    'logit_adjustment': {'loss.name': 'logit_adjustment'},
    'recommended': {'loss.name': 'bsce_many'},
    'bce': {'loss.name': 'bce'},
    'sce': {'loss.name': 'sce'},
    'focal': {'loss.name': 'focal'},
    'cb_focal': {'loss.name': 'cb_focal'},
    'ldam': {'loss.name': 'ldam', 'model.head': 'cosine', 'model.head_scale': 30.0,
             'model.head_learn_scale': False,  # and its deferred re-weighting:
             'stages': ({'epochs': 6}, {'epochs': 2, 'loss.balance': 'effective'})},
    'seesaw': {'loss.name': 'seesaw'},
    'gce': {'loss.name': 'gce'},
    'nce_rce': {'loss.name': 'nce_rce'},
    'elr': {'loss.name': 'elr'},
    # What the weights of the recommended loss's reverse term are worth:
    'unweighted': {'loss.name': 'bsce_many', 'loss.reverse_on': 'raw'},
    # and what the paper's weight of the cross-entropy, not 1, would do:
    'alpha_04': {'loss.name': 'bsce_many', 'loss.alpha': 0.4},
    # Balance by the sampler, wholly and half:
    'ce_sampled': {'loss.name': 'ce', 'sampler.gamma': 1.0},
    'recommended_sampled': {'loss.name': 'bsce_many', 'sampler.gamma': 0.5},
}
MAIN = ['ce', 'bsce', 'logit_adjustment', 'recommended', 'alpha_04']
ANCHOR = ['ce', 'bsce', 'recommended', 'gce', 'nce_rce']  # bce is all but ce there, sce bsce
_SIZES = {'fashion': (28, (28, 30, 32), 30), 'drawings': (36, (38, 40, 42), 40),
          'hangul': (32, (34, 36, 38), 36)}


def condition(data, noise, steps, **fields):
    """Changes of a condition: data, crops, steps of each epoch."""
    size, scales, middle = _SIZES[data]
    return {'data.noise': noise, 'steps': steps, 'image.size': size, 'image.scales': scales,
            'image.eval_scale': middle, 'tta.scales': (middle,), **fields}


def drawn(classes):
    """The fields of drawings, which have their long tail already."""
    return {'data.source': 'arrays', 'data.root': str(folder(classes)), 'augment.flip': False}


def folder(classes):
    """Of the drawings of so many classes."""
    return DRAWN / f'{classes}-imbalance{LARGEST // SMALLEST}'


def hangul(classes):
    """The fields of Hangul."""
    return {'data.source': 'hangul', 'data.root': f'.data/hangul/{classes}',
            'data.imbalance': 100.0, 'augment.flip': False}


FASHION = {'data.source': 'fashion_mnist', 'data.imbalance': 100.0}
BALANCED = {'data.source': 'fashion_mnist', 'data.noise_kind': 'symmetric'}
TUNED = {'model.weights': str(PRETRAINED)}
CONDITIONS = {
    'fashion20': condition('fashion', 0.2, 125, **FASHION),
    'fashion40': condition('fashion', 0.4, 125, **FASHION),
    'drawings100-30': condition('drawings', 0.3, 125, **drawn(100)),
    'drawings1000-10': condition('drawings', 0.1, 250, **drawn(1000)),
    'drawings1000-30': condition('drawings', 0.3, 250, **drawn(1000)),
    'drawings1000-50': condition('drawings', 0.5, 250, **drawn(1000)),
    'hangul2350-30': condition('hangul', 0.3, 400, **hangul(2350)),
    'hangul2350-30-tuned': condition('hangul', 0.3, 200, **hangul(2350), **TUNED),
    'hangul11172-30-tuned': condition('hangul', 0.3, 800, epochs=4, **hangul(11172), **TUNED),
    **{f'balanced{100 * noise:.0f}': condition('fashion', noise, 500, epochs=4, **BALANCED)
       for noise in (0.2, 0.4, 0.6)},
}
PLAN = [
    (['drawings1000-30', 'fashion40', 'drawings100-30', 'hangul2350-30'], MAIN),
    (['fashion20', 'drawings1000-10'], MAIN),
    (['drawings1000-30', 'fashion40'], ['ce_sampled', 'recommended_sampled']),
    (['drawings1000-30', 'fashion40', 'hangul2350-30'], list(ARMS)),
    (['hangul2350-30-tuned', 'hangul11172-30-tuned', 'drawings1000-50'], MAIN),
    (['balanced20', 'balanced40', 'balanced60'], ANCHOR),
    (['drawings1000-10', 'fashion20', 'drawings1000-50'], list(ARMS)),
]
MORE_SEEDS = {name: [2, 3, 4] if name.startswith(('fashion', 'balanced')) else [2]
              for name in CONDITIONS if not name.startswith('hangul11172')}
POINTS = [('fashion40', 10), ('drawings100-30', 100), ('drawings1000-30', 1000),
          ('hangul2350-30', 2350), ('hangul11172-30-tuned', 11_172)]  # of the picture
COLOURS = {'ce': '#6b7280', 'bsce': '#b45309', 'recommended': '#2563eb'}
STUDY = study.Study('losses', 'Losses', CONDITIONS, ARMS, 'ce',
                    {}, seeds=[0, 1], rates=RATES, more_seeds=MORE_SEEDS, plan=PLAN, margin=0.1,
                    watched=epochs.watched)


def get_config():
    """What all conditions share: network, optimizer, schedule, and averages that are noted only."""
    config = default.get_config()
    config.deterministic = True
    config.data.noise_kind = 'proportional'
    config.model.backbone = 'small_resnet'
    config.batch_size, config.epochs = 128, 8
    config.schedule.name, config.schedule.warmup_steps = 'cosine', 100
    config.averaging.ema, config.averaging.swa_epochs = 0.99, 2
    config.averaging.batches = 20
    config.checkpoint.minutes = 2.0
    return config


def beside(found):
    """Markdown of the recommended loss minus each other; and draws errors against classes."""
    drawing = picture.growth(found, POINTS, COLOURS, 'mean top-1 error, test; 95 % intervals')
    if drawing:
        files.write_text(pathlib.Path(f'{STUDY.output}_growth.svg'), drawing)
    return study.against(found, STUDY, 'recommended')


def main(_):
    """Draws what is missing and runs what the flags name."""
    for name in study.conditions(CONDITIONS):
        if name.startswith('drawings') and not study.SHOW.value:
            classes = int(name.removeprefix('drawings').partition('-')[0])
            drawings.write(folder(classes), classes, LARGEST, SMALLEST, TEST_IMAGES, 0)
    study.run(STUDY, get_config(), more=beside)


if __name__ == '__main__':
    app.run(main)
