# %% [markdown]
# # A long tail and many classes: which loss, which sampler, how long
#
# At the end of this page you have compared losses and samplers on a catalogue with a long tail, and know how to choose for
# your own. Reading takes 15 minutes; computing takes three on two CPU cores.
#
# You need this program with its extras `experiments` and `tutorials` (in the clone:
# `pip install -c constraints.txt -e '.[experiments,tutorials]'`), and an empty working folder. There
# `export PYTHONPATH=PATH_OF_THE_CLONE`, before `ipython`: the pictures come from `experiments/drawings.py` of the clone.
# [How to follow a tutorial](index.md#how-to-follow-one) says which block goes where.
#
# ## A catalogue with a long tail
#
# 100 products, drawn from many sides. The most frequent has 200 pictures, the rarest has 2; the test set has equally many
# of each. Neighbouring classes differ in small things, as products of one brand do.

# %%
import numpy as np
import tensorflow as tf
from IPython.display import Image

from experiments import drawings

drawings.write('products', classes=100, largest=200, smallest=2, test_images=1000, seed=0)
images, labels = np.load('products/train_images.npy'), np.load('products/train_labels.npy')
sizes = np.bincount(labels)
print(f'{len(labels)} pictures; the largest class has {sizes.max()}, the median class {np.median(sizes):.0f}, '
      f'the smallest {sizes.min()}')
shown = [images[(labels == k).argmax()] for k in range(0, 100, 10)]
Image(tf.io.encode_png(tf.concat(shown, axis=1)).numpy(), width=840)

# %% [markdown]
# Wrong labels are added to the training set: three in ten, in proportion to the class sizes, as people who label take
# frequent classes more often.

# %%
from bsce_tf import recipes


def get_config():
    config = recipes.defaults()
    config.data.source = 'arrays'
    config.data.root = 'products'
    config.data.noise = 0.3
    config.data.noise_kind = 'proportional'
    config.image.size = 36
    config.image.scales = config.tta.scales = (40,)
    config.image.eval_scale = 40
    config.augment.flip = False  # the drawings have letters
    config.model.backbone = 'small_resnet'
    config.optimizer.learning_rate = 0.3
    config.schedule.name = 'cosine'
    config.schedule.warmup_steps = 30
    config.epochs, config.steps = 5, 60
    return config


# %% [markdown]
# ## Losses
#
# `ce` is plain cross-entropy, `bsce` the paper's loss, `bsce_many` its form for many classes, `logit_adjustment` the
# balanced softmax. `bsce_tf.train` is the command `bsce train` in Python.

# %%
import contextlib
import io

import bsce_tf


def error(name, **fields):
    """Trains quietly, and prints the errors on the test set: of all classes, and of thirds of them."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run = bsce_tf.train(get_config(), f'runs/{name}', **fields)
    found = run.errors
    print(f'{name:22} all {found["mean_top1_error"]:.3f}   head {found["head_error"]:.3f}   '
          f'medium {found["medium_error"]:.3f}   tail {found["tail_error"]:.3f}')
    return run.history


histories = {loss: error(loss, **{'loss.name': loss})
             for loss in ('ce', 'bsce', 'logit_adjustment', 'bsce_many')}

# %% [markdown]
# Plain cross-entropy gives up the tail: a third of the classes has a small part of the pictures, so they are worth little
# to it. The other losses differ in what they do about that. [The method](../explanation/method.md) says why `bsce` needs
# another form where there are many classes.
#
# ## Samplers
#
# A sampler balances by drawing pictures of small classes more often. `sampler.gamma` is 0 where all pictures are drawn
# alike, 1 where all classes are, and 0.5 halfway.

# %%
sampled = error('ce, gamma 1', **{'loss.name': 'ce', 'sampler.gamma': 1.0})

# %% [markdown]
# In these few epochs a sampler helps `ce` a lot. But it repeats the few pictures of a small class, so a longer run can
# learn their wrong labels by heart; on thousands of classes it helped only after long training
# ([many classes](../results/large-k.md)). Begin with the loss that `inspect` recommends, and compare a sampler with it on
# your data.
#
# ## How long?
#
# Losses that are robust to wrong labels learn more slowly. The error on validation after each epoch tells whether a run
# was long enough: one that still falls at the end wants more epochs. Validation pictures have wrong labels too, so these
# errors are larger than those on the test set.

# %%
for loss, history in histories.items():
    print(f'{loss:17}', ' '.join(f'{row["val_mean_top1_error"]:.2f}' for row in history))

# %%
longer = error('bsce_many, 10 epochs', **{'loss.name': 'bsce_many', 'epochs': 10})

# %% [markdown]
# ## For your own catalogue
#
# These are single runs of a small network. Differences below 0.03 may be chance. `bsce inspect` recommends a loss from your
# class sizes:

# %%
# %%writefile products.py
from bsce_tf import recipes


def get_config():
    config = recipes.defaults()
    config.data.source = 'arrays'
    config.data.root = 'products'
    return config

# %%
# !bsce inspect --config=products.py --workdir=runs/look

# %% [markdown]
# ## What next
#
# - [Which loss, which sampler](../how-to/choose-a-loss.md): all losses, deferred balance, adjustment after training.
# - [Results](../results/losses.md): losses side by side, with seeds and intervals.
# - [Many classes](../how-to/many-classes.md): from 50,000 to ten million.
