"""AliProducts: 50,030 classes of products, 2.5 M images, a long tail, wrong labels.

  python main.py --config=configs/aliproducts.py:pnasnet5large,bsce --workdir=runs/ali \
      --mode=train --config.data.root=/data/aliproducts

The recipe of Huang, Li and Zhu 2020, "Balanced Symmetric Cross Entropy for Large Scale Imbalanced
and Noisy Data": ImageNet weights, SGD, learning rate 0.01, divided by 10 when the validation mean
top-1 error stops falling; crops of 331 px; five scales at test time. The paper's errors there:
0.1530 with ce, 0.1430 bce, 0.1492 sce, 0.1407 bsce (Table 2), 0.1354 with five scales (Table 3).

After the colon, in any order, separated by commas: a backbone, a loss (of the paper, or another of
`loss.name`: bsce_many is made for so many classes), and at most one of

  two_stage        instance-balanced, then class-balanced with at most 250 images a class and a
                   tenth of the rate. Sampling balances there, so the second stage has no weights.
  high_resolution  the same, and a last short stage of 448 px.
"""

from bsce_tf import fields, recipes

SCALES = (384, 412, 424, 436, 464)
BALANCED = {'epochs': 5, 'sampler.gamma': 1.0, 'sampler.cap': 250,
            'optimizer.learning_rate': 0.001}
LARGE = {'epochs': 2, 'sampler.gamma': 1.0, 'sampler.cap': 250,
         'optimizer.learning_rate': 0.0001, 'image.size': 448, 'image.eval_scale': 544,
         'image.scales': (512, 544, 576, 608)}
STAGES = {'one_stage': (), 'two_stage': (BALANCED,), 'high_resolution': (BALANCED, LARGE)}
# The setting without class weights of the paper's losses, for stages that the sampler balances. The
# others take what the sampler draws, and stay as they are.
UNWEIGHTED = {'bce': 'ce', 'bsce': 'sce'}


def get_config(arguments=''):
    """The paper's recipe with what `arguments` names; see above.

    Raises:
      InputError: for a word that is none of these.
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
