# %% [markdown]
# # Wrong labels: find, correct, train again
#
# At the end of this page you have found the wrong labels of a training set, corrected some, and trained again. Reading
# takes 15 minutes; computing takes four on two CPU cores.
#
# You need this program with its extras `data` and `tutorials` (in the clone:
# `pip install -c constraints.txt -e '.[data,tutorials]'`), and an empty working folder.
# [How to follow a tutorial](index.md#how-to-follow-one) says which block goes where.
#
# ## A list with wrong labels
#
# Other catalogues come as a list. Here are 3,000 photographs in one folder, and a CSV file with their labels. One label in
# five is wrong: we make them so, to be able to count afterwards what was found. The list of test pictures is right.

# %%
import csv
from pathlib import Path

import numpy as np
import tensorflow as tf

from bsce_tf.data.sources import fashion_mnist

data = fashion_mnist.load()
names = [name.replace('/', ' or ') for name in data.train.class_names]
random = np.random.default_rng(0)


def write(examples, chosen, labels, file):
    """Writes pictures below photos/ and a list of their paths and labels."""
    Path('photos').mkdir(exist_ok=True)
    with open(file, 'w', newline='') as opened:
        rows = csv.writer(opened)
        rows.writerow(['image', 'label'])
        for i, label in zip(chosen, labels, strict=True):
            path = Path('photos', f'{Path(file).stem}-{i}.png')
            path.write_bytes(tf.io.encode_png(examples.images[i]).numpy())
            rows.writerow([path, names[label]])


chosen = random.choice(len(data.train), 3000, replace=False)
true = data.train.labels[chosen]
wrong = random.random(3000) < 0.2
given = np.where(wrong, (true + random.integers(1, 10, 3000)) % 10, true)
write(data.train, chosen, given, 'train.csv')
write(data.test, np.arange(1000), data.test.labels[:1000], 'test.csv')
print(f'{wrong.sum()} of {len(given)} labels are wrong')
print('\n'.join(Path('train.csv').read_text().split('\n')[:4]))

# %%
# %%writefile shop.py
from bsce_tf import recipes


def get_config():
    config = recipes.defaults()
    config.data.source = 'csv'
    config.data.train = 'train.csv'
    config.data.test = 'test.csv'
    config.image.size = 28
    config.image.scales = (28, 30, 32)
    config.image.eval_scale = 30
    config.model.backbone = 'small_resnet'
    config.loss.name = 'ce'
    config.optimizer.learning_rate = 0.1
    config.schedule.name = 'cosine'
    config.epochs, config.steps = 5, 36
    config.audit.folds = 3
    config.audit.duplicate_similarity = 0.0  # near-duplicates, which it finds too, are left out here
    return config

# %% [markdown]
# ## Train on the list as it is

# %%
# !bsce train --config=shop.py --workdir=runs/given

# %% [markdown]
# A tenth of the 3,000 pictures is put aside for validation. Their labels are wrong as often as the others, so the
# validation error is larger than the error on the test set, whose labels are right. `head`, `medium` and `tail` are the
# errors of the largest, middle and smallest third of the classes.

# %% [markdown]
# ## Audit
#
# `audit` trains three networks. Each predicts the pictures that it was not trained on, so none has learnt the wrong label
# of a picture that it judges. A label is suspicious where the network that judges it is surer of another class than it
# usually is of the pictures of that class.

# %%
# !bsce audit --config=shop.py --workdir=runs/audit

# %% [markdown]
# `label_issues.csv` lists the suspicious labels, the most suspicious first. `score` is small where a label is
# suspicious, `class_size` is the number of pictures with the given label, and `wrong` estimates how probable it is that
# the label is wrong.

# %%
with open('runs/audit/label_issues.csv', newline='') as file:
    issues = list(csv.DictReader(file))

for row in issues[:5]:
    print(row)

# %% [markdown]
# As we know which labels are wrong, we can count. *Precision* is the share of listed labels that are wrong; *recall* is the
# share of wrong labels that are listed. The pictures that were put aside are not judged, so it cannot reach 1.

# %%
place = {f'photos/train-{i}.png': n for n, i in enumerate(chosen)}
listed = np.array([place[row['path']] for row in issues])
print(f'precision {wrong[listed].mean():.2f}, recall {wrong[listed].sum() / wrong.sum():.2f}')
print(f'of the first 100, {wrong[listed[:100]].sum()} are wrong')

# %% [markdown]
# These are the first ten pictures of the list, and the labels that they have there:

# %%
from IPython.display import Image

print(', '.join(row['given_label'] for row in issues[:10]))
shown = [data.train.images[chosen[n]] for n in listed[:10]]
Image(tf.io.encode_png(tf.concat(shown, axis=1)).numpy(), width=840)

# %% [markdown]
# `bsce report --workdir=runs/audit` shows them in a page, each with its suggested class.
#
# ## Without looking: leave them out
#
# `cleaned.csv` holds the pictures that the audit keeps. It leaves out only labels that are very improbable, and never
# empties a class.

# %%
# !bsce train --config=shop.py --workdir=runs/cleaned --config.data.clean=runs/audit/cleaned.csv

# %% [markdown]
# ## With looking: correct them
#
# Better than to leave a picture out is to look at it. Suppose that somebody looks at the first 400 pictures of the list
# and writes down the right class of each. Here the truth that we kept plays this person.

# %%
corrected = given.copy()
corrected[listed[:400]] = true[listed[:400]]
print(f'{(given != true).sum()} wrong labels before, {(corrected != true).sum()} after 400 looks')
write(data.train, chosen, corrected, 'corrected.csv')

# %%
# !bsce train --config=shop.py --workdir=runs/corrected --config.data.train=corrected.csv

# %% [markdown]
# ## What was it worth?

# %%
import bsce_tf

for name in ('given', 'cleaned', 'corrected'):
    print(f'{name:10} {bsce_tf.load(f"runs/{name}").errors["mean_top1_error"]:.3f}')

# %% [markdown]
# This is one run each, so a small difference may be chance. A loss that is robust to wrong labels needs the correction less:
# try `--config.loss.name=bsce`.
#
# ## What next
#
# - [Find wrong labels](../how-to/wrong-labels.md): relabel instead of drop, several rounds, near-duplicates.
# - [How an audit finds wrong labels](../explanation/audit.md): the method, and when it refuses to judge.
