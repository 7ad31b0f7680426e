# %% [markdown]
# # Your first catalogue
#
# At the end of this page you have trained a classifier on folders of pictures, you know its errors, and you have a
# model that a server can run. Reading takes 20 minutes; computing takes three on two CPU cores.
#
# You need this program ([Install](../install.md)) with its extras `serving` and `tutorials` (in the clone:
# `pip install -c constraints.txt -e '.[serving,tutorials]'`), and an empty working folder.
# [How to follow a tutorial](index.md#how-to-follow-one) says which block goes where.
#
# ## Pictures in folders
#
# A catalogue has one folder of pictures for each class. Here they are photographs from Fashion-MNIST, so that you can
# compare your numbers with those on this page. As in a shop, some classes have many pictures and others have few.

# %%
from pathlib import Path

import tensorflow as tf

from bsce_tf.data.sources import fashion_mnist


def write(examples, counts, folder):
    """Writes the first `counts[k]` pictures of class k to folder/class/number.png."""
    for k, name in enumerate(examples.class_names):
        place = Path(folder, name.replace('/', ' or '))
        place.mkdir(parents=True, exist_ok=True)
        for i in (examples.labels == k).nonzero()[0][:counts[k]]:
            (place / f'{i}.png').write_bytes(tf.io.encode_png(examples.images[i]).numpy())


data = fashion_mnist.load()
sizes = [800, 600, 450, 330, 250, 180, 130, 100, 70, 50]
write(data.train, sizes, 'shop/train')
write(data.test, [100] * 10, 'shop/test')

# %%
from IPython.display import Image

first = [data.train.images[(data.train.labels == k).argmax()] for k in range(10)]
Image(tf.io.encode_png(tf.concat(first, axis=1)).numpy(), width=840)

# %% [markdown]
# The folders are `shop/train/Bag/…`, `shop/test/Bag/…` and so on. The program knows the usual names `train`, `val` and
# `test`. A folder without them works too: then a tenth of the pictures is put aside for validation, and the
# errors at the end are those of the validation set.
#
# ## A config
#
# A config is a Python file. It says where the pictures are and how to train; `bsce help train` lists all fields. All
# fields have defaults, so only those that differ are set.

# %%
# %%writefile shop.py
from bsce_tf import recipes


def get_config():
    config = recipes.defaults()
    config.data.source = 'folder'
    config.data.root = 'shop'
    config.image.size = 28  # the side of the crop that the network sees
    config.image.scales = (28, 30, 32)  # the sizes before cropping
    config.image.eval_scale = 30
    config.model.backbone = 'small_resnet'
    config.optimizer.learning_rate = 0.1
    config.schedule.name = 'cosine'
    config.epochs = 6
    return config

# %% [markdown]
# ## Look before you train
#
# `inspect` counts pictures and classes, looks for copies, and suggests a loss from the sizes of the classes:
# `bsce_many`, see [all losses](../results/losses.md). We train with the default, the paper's `bsce`.

# %%
# !bsce inspect --config=shop.py --workdir=runs/look

# %% [markdown]
# ## Train
#
# `workdir` is the folder of the run. If you stop the command, or the machine does, the same command resumes at the step
# where it was.

# %%
# !bsce train --config=shop.py --workdir=runs/shop

# %% [markdown]
# The last lines are errors on the test set. **Mean top-1 error** is the error of each class, averaged over the classes:
# a class of 50 pictures counts as much as one of 800. `head`, `medium` and `tail` are the means over the largest, middle
# and smallest third of the classes. Size is not all: garments that look alike are harder than boots, of which there are
# fewest.
#
# Each row is a size to which the pictures were resized before the crop: `scale` 28, 30 and 32, and `tta`, the mean of all
# that `tta.scales` names. The one that counts is that of `image.eval_scale`, here 30. `weights` are `raw` where they are those of the best
# epoch, not an average over steps or epochs.
#
# ## A report
#
# `report` writes one HTML page with curves, the errors of each class, and pictures of the mistakes.

# %%
# !bsce report --workdir=runs/shop

# %% [markdown]
# ## New pictures
#
# `predict` takes a folder, a list or one picture, and writes a CSV file.

# %%
# !bsce predict --workdir=runs/shop --config.predict.input=shop/test/Bag --config.predict.top_k=2

# %%
import csv

with open('runs/shop/predictions.csv', newline='') as file:
    for row in list(csv.reader(file))[:4]:
        print(row)

# %% [markdown]
# ## A model for a server
#
# `export` writes a SavedModel that takes the bytes of a picture and gives the names of its classes. Decoding, resizing,
# crops and the names are in it; the server needs TensorFlow Serving alone.

# %%
# !bsce export --workdir=runs/shop

# %% [markdown]
# Any program that has TensorFlow can load it, without `bsce_tf`:

# %%
served = tf.saved_model.load('runs/shop/export/bsce_tf/1').signatures['serving_default']
picture = next(Path('shop/test/Sneaker').iterdir())
answer = served(image_bytes=tf.constant([picture.read_bytes()]))
for name, score in zip(answer['class_names'][0, :3].numpy(), answer['scores'][0, :3].numpy(), strict=True):
    print(f'{name.decode():12} {score:.3f}')

# %% [markdown]
# [Serve a model](../how-to/serving.md) starts TensorFlow Serving with it.
#
# ## What next
#
# - [Wrong labels](wrong_labels.md): find them, correct them, train again.
# - [A long tail and many classes](long_tail.md): which loss, which sampler, how long.
# - [Train on your own data](../how-to/your-data.md): lists, tables and packed files instead of folders.
