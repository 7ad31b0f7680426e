"""Sources, sampling, crops and the tf.data pipeline."""
