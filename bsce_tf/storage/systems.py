"""fsspec's file systems, one for each scheme."""

import threading

from bsce_tf.errors import InputError, line
from bsce_tf.storage.addresses import SCHEMES, WEB

_CONNECTIONS = 256  # at a time, as many as `data.readers` measures at most
_CONNECT, _ANSWER = 30, 60  # seconds to wait for a connection and for the next bytes

_lock = threading.Lock()
_systems = {}


def of(scheme):
    """fsspec's file system of a scheme; one for all threads."""
    with _lock:
        if scheme not in _systems:
            _systems[scheme] = _made(scheme)
        return _systems[scheme]


def _made(name):
    try:
        import fsspec
        options = {'use_listings_cache': False}  # of what changes while a run goes on
        if SCHEMES[name] == 's3fs':
            options['max_concurrency'] = 1  # else each file is asked for its size first
            options['config_kwargs'] = {
                'max_pool_connections': _CONNECTIONS, 'connect_timeout': _CONNECT,
                'read_timeout': _ANSWER, 'retries': {'total_max_attempts': 2}}
        elif name in WEB:
            import aiohttp

            async def client(loop, **more):
                return aiohttp.ClientSession(
                    loop=loop, connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                    timeout=aiohttp.ClientTimeout(None, sock_connect=_CONNECT, sock_read=_ANSWER),
                    **more)

            options['get_client'] = client
        system = fsspec.filesystem(name, **options)
        system.retries = 1  # of s3fs: `patiently` does it
        return system
    except ImportError as error:
        raise InputError(f'{name}://…: needs fsspec and {SCHEMES[name]} ({error}): '
                         "pip install 'bsce-tf[cloud]'.") from error
    except (ValueError, OSError) as error:  # such as adlfs without the name of an account
        raise InputError(f'{name}://…: {line(error)}; expected what the service needs in the '
                         'environment.') from error
