"""Generated images and two steps of training: a quick try of any mode.

  python main.py --config=configs/smoke.py --workdir=/tmp/smoke --mode=train
"""

from bsce_tf import recipes


def get_config(arguments=''):
    """The defaults with what the docstring above says."""
    if arguments:
        raise recipes.unknown_word(arguments, ())
    config = recipes.defaults()
    config.epochs = 1
    config.batch_size = 72
    config.data.source = 'generated'
    config.image.size = 24
    config.image.scales = (24, 28)
    config.image.eval_scale = 26
    config.model.backbone = 'small_resnet'
    return config
