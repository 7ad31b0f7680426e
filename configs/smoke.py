"""Generated images and two training steps: a quick try of any mode.

  python main.py --config=configs/smoke.py --workdir=/tmp/smoke --mode=train

What it takes: about 10 s on two CPU cores, most of it TensorFlow's start, and 0.8 GB. What it
reaches means nothing: after two steps the network guesses.
"""

from bsce_tf import recipes


def get_config(arguments=''):
    """The defaults, changed to what is described above."""
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
