"""Processes of their own for runs that a test kills or stops."""

import multiprocessing

# A server that has imported everything starts a new process in no time.
SERVER = multiprocessing.get_context('forkserver')
SERVER.set_forkserver_preload(['bsce_tf.training.train', 'bsce_tf.data.sources.generated'])
