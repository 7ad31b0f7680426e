"""Files in buckets and on web servers by their address: s3://shop/a.jpg, https://cdn/a.jpg.

fsspec does it, with a library for each scheme: pip install 'bsce-tf[cloud]'. Keys, regions and
endpoints come from that library's usual environment and files (AWS_PROFILE, AWS_ENDPOINT_URL,
GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_NAME …), never from a config.

A place that does not answer is asked again for `PATIENCE` seconds. Then `StorageError` stops the
run, as it does at once without credentials: a network that is down makes no image bad.
"""

from bsce_tf.storage.addresses import (
    SCHEMES,
    WEB,
    WHOLE,
    begin,
    below,
    check,
    is_address,
    is_pattern,
    join,
    relative,
    scheme,
    several,
)
from bsce_tf.storage.facts import (
    exists,
    files,
    folders,
    is_file,
    is_folder,
    matching,
    offered,
    version,
    versions,
)
from bsce_tf.storage.patience import failed, failure
from bsce_tf.storage.reads import Ranges, fetch, open_file, read
from bsce_tf.storage.writes import remove, send, write

__all__ = [
    'SCHEMES', 'WEB', 'WHOLE', 'Ranges', 'begin', 'below', 'check', 'exists', 'failed', 'failure',
    'fetch', 'files', 'folders', 'is_address', 'is_file', 'is_folder', 'is_pattern', 'join',
    'matching', 'offered', 'open_file', 'read', 'relative', 'remove', 'scheme', 'send', 'several',
    'version', 'versions', 'write']
