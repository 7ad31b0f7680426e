"""Removes libjpeg's messages on damaged images from standard error.

TensorFlow's JPEG decoder prints its warnings to file descriptor 2, from many threads and without
the image's name. Within the block, that descriptor leads to a separate process. It drops exactly
these lines, passes on all others, and at the end prints how many it dropped. It is a process and
not a thread, so that the last output of a program that crashes is not lost.
"""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys

# The messages of libjpeg-turbo's decoder, from its table jerror.h.
_LINE = re.compile(
    rb'Corrupt JPEG data: .*|Invalid JPEG file structure: .*|Premature end of JPEG file|'
    rb'Invalid SOS parameters for sequential JPEG|JPEG datastream contains no image|'
    rb'Inconsistent progression sequence for component \d+ coefficient \d+|'
    rb'Improper call to JPEG library in state \d+|Not a JPEG file: starts with 0x\w+ 0x\w+|'
    rb'Unsupported (marker type|JPEG process: SOF type) 0x\w+|Empty input file|'
    rb'Bogus (marker length|Huffman table definition|sampling factors|JPEG colorspace)|'
    rb'Bogus D(QT|HT|AC) (index|value) \w+|Empty JPEG image \(DNL not supported\)|'
    rb'(Quantization|Huffman|Arithmetic) table 0x\w+ was not defined|'
    rb'Unknown Adobe color transform code \d+|Warning: unknown JFIF revision number \d+\.\d+')
_END = b'\0end of the block\0'  # a line that asks for the number
_PATIENCE = 5  # seconds to wait for it
_PAUSE = 0.2  # seconds after which a line without an end is passed on


@contextlib.contextmanager
def left_out():
    """Drops libjpeg's messages within the block and prints their number at its end.

    For programs that own their process: file descriptor 2 and `sys.stderr` are others within the
    block, for all threads, and a notebook would no longer show what it writes there.
    """
    try:
        real = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    try:
        # A session of its own: Ctrl-C is for the program alone.
        process = subprocess.Popen(
            [sys.executable, '-I', '-S', __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=real, start_new_session=True)
    except OSError:  # go on without the filter
        os.close(real)
        yield
        return
    os.dup2(process.stdin.fileno(), 2)
    process.stdin.close()
    own = sys.stderr
    # Python's own output bypasses the filter, so that it still sees a terminal.
    sys.stderr = open(real, 'w', buffering=1, encoding=own.encoding, errors=own.errors)  # noqa: SIM115
    try:
        yield
    finally:
        own.flush()
        with contextlib.suppress(OSError):  # the process may have been killed
            os.write(2, _END + b'\n')
            select.select([process.stdout], [], [], _PATIENCE)
        sys.stderr.flush()
        os.dup2(real, 2)
        sys.stderr = own  # whose descriptor is 2
        process.stdout.close()


def _filter():
    """The filter process: copies lines from descriptor 0 to descriptor 2."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with the program, and not before
    rest, dropped, told = b'', 0, False
    while True:
        ready, _, _ = select.select([0], [], [], _PAUSE if rest else None)
        read = os.read(0, 2**16) if ready else b''
        *lines, rest = (rest + read).split(b'\n')
        end = bool(ready) and not read
        for line in lines:
            if line == _END:
                _tell(dropped)
                told = True
                os.close(1)
            elif _LINE.fullmatch(line):
                dropped += 1
            else:
                _write(line + b'\n')
        if rest and (end or not ready):
            _write(rest)
            rest = b''
        if end:
            if not told:
                _tell(dropped)
            return


def _tell(dropped):
    if dropped:
        _write(f'{dropped:,} message{"s" if dropped > 1 else ""} of the JPEG decoder on damaged '
               'images left out; bsce verify names the images\n'.encode())


def _write(data):
    while data:
        data = data[os.write(2, data):]


if __name__ == '__main__':
    _filter()
