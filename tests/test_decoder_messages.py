"""What processes of their own write to standard error, with libjpeg's messages in it."""

import os
import pty
import subprocess
import sys

BEGIN = 'import os, sys\nfrom bsce_tf.decoder_messages import left_out\n'
OURS = ' of the JPEG decoder on damaged images left out; bsce verify names the images\n'


def run(code):
    return subprocess.run([sys.executable, '-c', BEGIN + code], capture_output=True, text=True,
                          timeout=100)


def test_these_lines_are_dropped_and_counted_and_no_others():
    found = run(r'''
with left_out():
    os.write(2, b'first\nCorrupt JPEG data: 3 extraneous bytes before marker 0xd9\nsecond\n')
    os.write(2, b'Improper call to JPEG library in state 201\nUnsupported marker type 0x62\n')
    os.write(2, b'a note: Corrupt JPEG data: x\nCorrupt JPEG\nno end')
    os.system('echo of a child >&2')
os.write(2, b'Corrupt JPEG data: after it\n')
print('said', file=sys.stderr)
''')
    # What Python itself prints does not take that way, so it may come earlier.
    assert found.stderr == (
        'first\nsecond\na note: Corrupt JPEG data: x\nCorrupt JPEG\nno endof a child\n3 messages'
        f'{OURS}Corrupt JPEG data: after it\nsaid\n')
    assert found.returncode == 0


def test_nothing_is_said_where_nothing_was_left_out_and_errors_go_on():
    found = run('with left_out():\n    print("told", file=sys.stderr)\n    sys.exit(3)\n')
    assert (found.stderr, found.returncode) == ('told\n', 3)


def test_the_last_words_of_a_crash_are_not_lost():
    found = run(r'''
with left_out():
    os.write(2, b'Premature end of JPEG file\nfatal: ')
    os.write(2, b'no memory')
    os.abort()
''')
    assert found.returncode == -6
    assert found.stderr == f'fatal: no memory1 message{OURS}'


def test_a_terminal_stays_one():
    ours, theirs = pty.openpty()
    code = BEGIN + 'with left_out():\n    print(sys.stderr.isatty(), os.isatty(2))\n'
    found = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=theirs,
                           text=True, timeout=100)
    os.close(ours)
    os.close(theirs)
    assert found.stdout == 'True False\n'


def test_the_decoder_of_tensorflow_is_quiet():
    found = run(r'''
import io
os.environ.update(TF_CPP_MIN_LOG_LEVEL='3', CUDA_VISIBLE_DEVICES='')
import numpy as np, tensorflow as tf
from PIL import Image
file = io.BytesIO()
Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(file, 'JPEG')
whole = file.getvalue()
half = len(whole) // 2
with left_out():
    for damaged in (whole[:half] + bytes(300) + whole[half + 300:],
                    whole[:half] + whole[half + 300:]):
        tf.io.decode_jpeg(damaged)
    os.write(2, b'done\n')
''')
    assert found.returncode == 0
    assert found.stderr.endswith(f'done\n2 messages{OURS}')
    assert 'Corrupt' not in found.stderr
