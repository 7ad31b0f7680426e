"""AliProducts: 50,030 classes of products, 2.5 M images, a long tail, wrong labels.

  python main.py --config=configs/aliproducts.py:pnasnet5large,bsce --workdir=runs/ali \
      --mode=train --config.data.root=/data/aliproducts

The recipe of Huang, Li and Zhu 2020, "Balanced Symmetric Cross Entropy for Large Scale Imbalanced
and Noisy Data": ImageNet weights, SGD, learning rate 0.01, divided by 10 when the validation mean
top-1 error stops falling; crops of 331 px; five scales at test time. The paper's errors there:
0.1530 with ce, 0.1430 bce, 0.1492 sce, 0.1407 bsce (Table 2), 0.1354 with five scales (Table 3).

After the colon come, in any order and separated by commas: a backbone, a loss (any value of
`loss.name`; bsce_many is made for this many classes), and at most one of

  two_stage        a second stage, in which the sampler draws all classes equally often, at most 250
                   images of each, with a tenth of the learning rate. As the sampler balances the
                   classes there, the loss has no class weights.
  high_resolution  the same, and a short third stage at 448 px.

What it takes and reaches: never run whole here, as the images cannot be had. Measured were parts
(`results/benchmarks.md`): a training step of pnasnet5large on 4 images of 331 px took 5.3 s and
6.3 GB on two CPU cores; the list of 2.5 M images opens in 5.6 s, later in 0.1 s. Plan for GPUs.
"""

from bsce_tf import fields, recipes

SCALES = (384, 412, 424, 436, 464)
BALANCED = {'epochs': 5, 'sampler.gamma': 1.0, 'sampler.cap': 250,
            'optimizer.learning_rate': 0.001}
LARGE = {'epochs': 2, 'sampler.gamma': 1.0, 'sampler.cap': 250,
         'optimizer.learning_rate': 0.0001, 'image.size': 448, 'image.eval_scale': 544,
         'image.scales': (512, 544, 576, 608)}
STAGES = {'one_stage': (), 'two_stage': (BALANCED,), 'high_resolution': (BALANCED, LARGE)}
# For stages in which the sampler balances the classes: the paper's losses without class weights.
# Other losses take the class sizes from the sampler, so they need no change.
UNWEIGHTED = {'bce': 'ce', 'bsce': 'sce'}


def get_config(arguments=''):
    """The paper's recipe, changed by the words after the colon.

    Args:
      arguments: words with commas between, see above.

    Raises:
      InputError: for an unknown word.
    """
    config = recipes.defaults()
    config.data.source = 'aliproducts'
    config.data.on_error = 'skip'
    config.model.weights = 'imagenet'
    config.epochs = 20
    config.batch_size = 128
    config.image.size, config.image.scales, config.image.eval_scale = 331, SCALES, 436
    recipe = 'one_stage'
    for word in filter(None, arguments.split(',')):
        if word in (names := fields.choices('loss.name')):
            config.loss.name = word
        elif word in STAGES:
            recipe = word
        elif word in (backbones := fields.choices('model.backbone')):
            config.model.backbone = word
        else:
            raise recipes.unknown_word(word, (*names, *STAGES, *backbones))
    unweighted = {'loss.name': UNWEIGHTED.get(config.loss.name, config.loss.name)}
    config.stages = ({}, *({**stage, **unweighted} for stage in STAGES[recipe]))
    return config
