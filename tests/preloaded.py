"""What the server of `processes` imports before it forks."""

from bsce_tf import imports

with imports.without_garbage_collection():
    from bsce_tf import cli, config_check  # noqa: F401
    from bsce_tf.data.sources import generated  # noqa: F401
    from bsce_tf.evaluation import evaluate  # noqa: F401
    from bsce_tf.training import train  # noqa: F401
