"""Pooling, embedding and head of a classifier: from the last feature map to logits."""

import keras
from keras import layers, ops

from bsce_tf import fields, parts
from bsce_tf.errors import InputError, RunError

POOLINGS = fields.choices('model.pooling')
HEADS = fields.choices('model.head')
_TINY = 1e-12  # below it a squared length counts as zero


@keras.saving.register_keras_serializable('bsce_tf')
class GeneralisedMeanPooling2D(layers.Layer):
    """GeM: (mean of xᵖ)^(1/p) of each channel, with one learnt p for all channels.

    `[n, h, w, c]` → `[n, c]`, in the compute dtype. p = 1 is the average, p → ∞ the maximum.
    Radenović et al. 2018, "Fine-tuning CNN Image Retrieval with No Human Annotation", section 3.2.

    Args:
      p: initial exponent, above 0.
      **kwargs: of `keras.layers.Layer`.

    Raises:
      InputError: if p is not above 0.
    """

    def __init__(self, p=3.0, **kwargs):
        super().__init__(**kwargs)
        if not p > 0:
            raise InputError(f'p of GeM: found {p}; expected a number above 0.')
        self.initial = p

    def build(self, input_shape):
        self.p = self.add_weight(shape=(), initializer=keras.initializers.Constant(self.initial),
                                 autocast=False, name='p')

    def call(self, features):
        # Always in float32: in float16, 41³ overflows.
        x = ops.maximum(ops.cast(features, self.variable_dtype), 1e-6)
        mean = ops.mean(ops.power(x, self.p), axis=(1, 2))
        return ops.cast(ops.power(mean, 1 / self.p), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape[0], input_shape[-1]

    def get_config(self):
        return {**super().get_config(), 'p': self.initial}


class _Divided:
    """A head whose class vectors may be divided among the replicas: see `bsce_tf.heads`.

    Its `class_variables` count among its variables, and are saved and loaded like those of a whole
    head. It is not called: `of_rows` gives the logits of some classes.
    """

    class_variables = ()

    def divide(self, division, **values):
        """Makes class variables with a `Division` from their initial values, arrays `[…, K]`."""
        self.class_variables = tuple(division.variable(value, f'{self.name}/{name}')
                                     for name, value in values.items())

    def check_whole(self):
        """Raises RunError if the class vectors are in parts."""
        if self.class_variables:
            raise RunError('model: found a call of a model whose head is in parts or sampled; '
                           'expected a call of bsce_tf.load(workdir).model(), whose head is whole, '
                           'or a run with model.head_sample=1 and model.head_parts=one.')

    @property
    def variables(self):
        return [*self.class_variables, *super().variables]

    @property
    def weights(self):
        return [*self.class_variables, *super().weights]

    def save_own_variables(self, store):
        if not self.class_variables:
            super().save_own_variables(store)
            return
        for number, variable in enumerate(self.weights):
            store[str(number)] = variable.numpy()

    def load_own_variables(self, store):
        if not self.class_variables:
            super().load_own_variables(store)
            return
        if len(store.keys()) != len(self.weights):
            raise ValueError(f'{self.name}: found {len(store.keys())} arrays; expected '
                             f'{len(self.weights)}.')
        for number, variable in enumerate(self.weights):
            variable.assign(store[str(number)])


@keras.saving.register_keras_serializable('bsce_tf')
class TauHead(_Divided, layers.Dense):
    """A linear head whose class vectors are divided by the τ-th power of their lengths.

    logit_k = x·w_k / ‖w_k‖^τ + b_k. Classes with more images get longer vectors; τ > 0 compensates
    for that. Kang et al. 2020, "Decoupling Representation and Classifier", section 4.2, without a
    bias. It is kept here so that τ = 0 is exactly the linear head. The variables `kernel` and
    `bias` have the names that they have in a linear head: to τ-normalise a trained linear head,
    load its weights into this one.

    Args:
      units: K, the number of classes.
      tau: τ, 0 (linear) or more; 1 makes all lengths equal.
      division: a `class_variable.Division`; None if every replica holds the whole head.
      **kwargs: of `keras.layers.Dense`.

    Raises:
      InputError: if τ is negative.
    """

    def __init__(self, units, tau=0.0, division=None, **kwargs):
        super().__init__(units, **kwargs)
        fields.check('model.head_tau', tau)
        self.tau, self.division = tau, division

    def build(self, input_shape):
        if self.division is None:
            super().build(input_shape)
        else:
            self.divide(self.division,
                        kernel=self.kernel_initializer((input_shape[-1], self.units)).numpy(),
                        bias=self.bias_initializer((self.units,)).numpy())
            self.built = True

    def of_rows(self, features, vectors, bias):
        """Logits `[n, s]` of features `[n, c]`, s class vectors `[s, c]` and biases `[s]`."""
        logits = ops.matmul(features, ops.transpose(vectors))
        if self.tau:
            logits *= ops.power(ops.sum(ops.square(vectors), axis=1) + _TINY, -self.tau / 2)
        return logits + bias

    def call(self, features, training=None):
        self.check_whole()
        if not self.tau:  # a zero vector's length has no gradient
            return super().call(features, training=training)
        squared = ops.sum(ops.square(self.kernel), axis=0)
        logits = ops.matmul(features, self.kernel) * ops.power(squared + _TINY, -self.tau / 2)
        return logits if self.bias is None else logits + self.bias

    def get_config(self):
        return {**super().get_config(), 'tau': self.tau}


@keras.saving.register_keras_serializable('bsce_tf')
class CosineHead(_Divided, layers.Layer):
    """logit_k = s · cos(x, w_k): lengths of features and class vectors have no effect.

    `[n, features]` → `[n, K]`. Gidaris and Komodakis 2018, "Dynamic Few-Shot Visual Learning
    without Forgetting", section 3.2, where s is learnt and starts at 10.

    Args:
      units: K, the number of classes.
      scale: s, above 0. A fixed s bounds the largest probability by 1 / (1 + (K−1)·e^(−2s)).
      learn_scale: whether s is learnt, starting at `scale`.
      division: as for `TauHead`.
      **kwargs: of `keras.layers.Layer`.

    Raises:
      InputError: if `scale` is not above 0.
    """

    def __init__(self, units, scale=10.0, learn_scale=True, division=None, **kwargs):
        super().__init__(**kwargs)
        fields.check('model.head_scale', scale)
        self.units, self.initial_scale, self.learn_scale = units, scale, learn_scale
        self.division = division

    def build(self, input_shape):
        shape, start = (input_shape[-1], self.units), keras.initializers.GlorotUniform()
        if self.division is None:
            self.kernel = self.add_weight(shape=shape, name='kernel', initializer=start)
        else:
            self.divide(self.division, kernel=start(shape).numpy())
        self.scale = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(self.initial_scale),
            trainable=self.learn_scale, name='scale')

    def call(self, features):
        self.check_whole()
        return self.scale * ops.matmul(_unit(features, -1), _unit(self.kernel, 0))

    def of_rows(self, features, vectors):
        """Logits `[n, s]` of features `[n, c]` and s class vectors `[s, c]`."""
        return self.scale * ops.matmul(_unit(features, -1), ops.transpose(_unit(vectors, -1)))

    def compute_output_shape(self, input_shape):
        return *input_shape[:-1], self.units

    def get_config(self):
        return {**super().get_config(), 'units': self.units, 'scale': self.initial_scale,
                'learn_scale': self.learn_scale}


def _unit(x, axis):
    return x * ops.rsqrt(ops.sum(ops.square(x), axis=axis, keepdims=True) + _TINY)


def pooling(name):
    """The layer 'features': `[n, h, w, c]` → `[n, c]`.

    For 'token' it is the identity, as the backbone then gives `[n, c]` itself.

    Args:
      name: one of `POOLINGS`.

    Raises:
      InputError: if the name is unknown.
    """
    kinds = {'avg': layers.GlobalAveragePooling2D, 'max': layers.GlobalMaxPooling2D,
             'gem': GeneralisedMeanPooling2D, 'token': layers.Identity}
    fields.check('model.pooling', name)
    return kinds[name](name='features')


def embedding(width):
    """The layers 'embedding' and 'embedding_bn': features `[n, c]` → `[n, width]`, linear.

    With it, the head has width·K weights instead of c·K. BatchNorm replaces a bias and gives all
    coordinates the same scale, as is usual in face recognition (Deng et al. 2019, "ArcFace",
    section 3.1). At inference both layers are linear, so averaging features gives the same as
    averaging embeddings.

    Args:
      width: of the embedding, 1 or more.
    """
    return (layers.Dense(width, use_bias=False, name='embedding'),
            layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name='embedding_bn'))


def head(name, num_classes, *, scale=10.0, learn_scale=True, tau=1.0, division=None):
    """The layer 'head', float32 under every dtype policy: `[n, features]` → `[n, K]`.

    Args:
      name: linear, cosine (takes `scale` and `learn_scale`) or tau (takes `tau`); or the user's
        own, see `parts`.
      num_classes: K.
      scale, learn_scale: of `CosineHead`.
      tau: of `TauHead`.
      division: as for `TauHead`.

    Raises:
      InputError: if the name is unknown or a number out of range.
    """
    fields.check('model.head', name)
    options = {'dtype': 'float32', 'name': 'head'}
    if parts.is_part(name):
        return parts.made('model.head', name, layers.Layer, num_classes, **options)
    if name == 'linear':
        return TauHead(num_classes, division=division, **options)
    if name == 'tau':
        return TauHead(num_classes, tau, division, **options)
    return CosineHead(num_classes, scale, learn_scale, division, **options)
