# %% [markdown]
# # The loss in your own Keras code, on three backends
#
# At the end of this page a Keras model of your own trains with balanced symmetric cross-entropy, on TensorFlow, JAX or
# PyTorch. Reading takes 10 minutes; computing takes two on two CPU cores.
#
# You need two environments. The first is this program with its extra `tutorials`
# (in the clone: `pip install -c constraints.txt -e '.[tutorials]'`), for the photographs and TensorFlow. The second has no
# TensorFlow: the loss, the metric and the class weights need Keras alone, on whatever backend you have. Make it in an
# empty working folder, under the name `other` (about 1 GB):
#
# ```sh
# python3 -m venv other
# other/bin/pip install keras jax torch --extra-index-url https://download.pytorch.org/whl/cpu
# other/bin/pip install --no-deps PATH_OF_THE_CLONE
# ```
#
# Without the address, pip takes PyTorch for GPUs on Linux, several GB.
# [How to follow a tutorial](index.md#how-to-follow-one) says which block goes where.
#
# ## Data with a long tail and wrong labels
#
# Your data are arrays, a `tf.data.Dataset` or a PyTorch `DataLoader`: the loss does not care. Here photographs from
# Fashion-MNIST get a long tail, from 2,000 images in a class to 40, and three in ten of the training labels are made
# wrong. The test set is right, and has about equally many images of each class.

# %%
import numpy as np

from bsce_tf.data.sources import fashion_mnist

data = fashion_mnist.load()
random = np.random.default_rng(0)
order = random.permutation(len(data.train))
sizes = np.round(2000 * 50 ** (-np.arange(10) / 9)).astype(int)
train = np.concatenate([order[data.train.labels[order] == k][:size] for k, size in enumerate(sizes)])
labels = data.train.labels[train].copy()
wrong = random.random(len(labels)) < 0.3
labels[wrong] = (labels[wrong] + random.integers(1, 10, wrong.sum())) % 10
np.savez('shop.npz', train_images=data.train.images[train] / np.float32(255), train_labels=labels,
         test_images=data.test.images[:2000] / np.float32(255), test_labels=data.test.labels[:2000])
print(f'{len(labels)} training images of classes of {sizes[0]} to {sizes[-1]}; {wrong.sum()} labels are wrong')

# %% [markdown]
# ## Model, loss, metric
#
# The model gives logits, without a softmax. The class weights come from the number of images of each class. The metric is
# the mean top-1 error: each class counts alike.

# %%
# %%writefile shop_fit.py
import sys

import keras
import numpy as np

import bsce_tf

keras.utils.set_random_seed(0)
data = np.load('shop.npz')
counts = np.bincount(data['train_labels'], minlength=10)

model = keras.Sequential([
    keras.Input((28, 28, 1)),
    keras.layers.Conv2D(16, 3, strides=2, activation='relu'),
    keras.layers.Conv2D(32, 3, strides=2, activation='relu'),
    keras.layers.Flatten(),
    keras.layers.Dense(64, activation='relu'),
    keras.layers.Dense(10),
])
if sys.argv[1] == 'bsce':
    loss = bsce_tf.losses.BalancedSymmetricCrossEntropy(
        class_weights=bsce_tf.class_weights.balanced(counts))
else:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss,
              metrics=[bsce_tf.metrics.MeanTop1Error(num_classes=10)])
model.fit(data['train_images'], data['train_labels'], batch_size=128, epochs=8, verbose=0)
found = model.evaluate(data['test_images'], data['test_labels'], return_dict=True, verbose=0)
model.save(f'{keras.config.backend()}-{sys.argv[1]}.keras')
print(f'{keras.config.backend()}, {sys.argv[1]}: mean top-1 error {found["mean_top1_error"]:.3f}')

# %% [markdown]
# ## TensorFlow

# %%
# !python shop_fit.py ce
# !python shop_fit.py bsce

# %% [markdown]
# ## JAX and PyTorch
#
# The same file in the second environment. `KERAS_BACKEND` names the backend; without it Keras looks for TensorFlow.

# %%
# !KERAS_BACKEND=jax other/bin/python shop_fit.py bsce
# !KERAS_BACKEND=torch other/bin/python shop_fit.py bsce

# %% [markdown]
# The backends draw other random numbers, so their weights and errors differ. All are single runs of a small network:
# differences below 0.03 may be chance. The loss itself is the same to seven digits:

# %%
# %%writefile shop_loss.py
import keras
import numpy as np

import bsce_tf

logits = np.random.default_rng(0).normal(size=(4, 10)).astype('float32')
loss = bsce_tf.losses.BalancedSymmetricCrossEntropy(class_weights=np.linspace(0.5, 1.5, 10))
print(f'{keras.config.backend():10} {float(loss(np.array([1, 2, 3, 4]), logits)):.7f}')

# %%
# !python shop_loss.py
# !KERAS_BACKEND=jax other/bin/python shop_loss.py
# !KERAS_BACKEND=torch other/bin/python shop_loss.py

# %% [markdown]
# ## Save and load
#
# The model is a plain Keras model. The file above saves it as usual. `import bsce_tf` before loading it, so that Keras
# knows the loss:

# %%
# !python -c "import bsce_tf, keras; print(keras.saving.load_model('tensorflow-bsce.keras').loss)"

# %% [markdown]
# ## What next
#
# - [The loss in your own model](../how-to/loss.md): many classes, soft labels, several GPUs.
# - [Python interface](../reference/python.md#losses): every loss and its arguments.
