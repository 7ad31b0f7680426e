"""A headless Chromium that a test steers over a pipe, by the DevTools protocol."""

import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import time

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which(
    'google-chrome')
_FLAGS = ('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
          '--disable-background-networking', '--disable-component-update', '--disable-sync',
          '--remote-debugging-pipe', 'about:blank')


class Browser:
    """One page. `requests` has the addresses that it asked for, `errors` what it complained of."""

    def __init__(self, commands, answers):
        self._commands, self._answers, self._numbers = commands, answers, itertools.count(1)
        self._rest, self._session = b'', None
        self.requests, self.errors = [], []
        (target,) = [found for found in self.call('Target.getTargets')['targetInfos']
                     if found['type'] == 'page']
        self._session = self.call('Target.attachToTarget', targetId=target['targetId'],
                                  flatten=True)['sessionId']
        for domain in ('Page', 'Network', 'Runtime', 'Log'):
            self.call(f'{domain}.enable')

    def call(self, method, **values):
        """The result of a command."""
        number = next(self._numbers)
        message = {'id': number, 'method': method, 'params': values}
        if self._session:
            message['sessionId'] = self._session
        os.write(self._commands, json.dumps(message).encode() + b'\0')
        while True:
            found = self._read()
            if found.get('id') == number:
                assert 'error' not in found, found
                return found['result']

    def run(self, script):
        """The value of a script, a promise's when it is kept."""
        found = self.call('Runtime.evaluate', expression=script, awaitPromise=True,
                          returnByValue=True)
        assert 'exceptionDetails' not in found, found
        return found['result'].get('value')

    def until(self, script, seconds=20):
        """Waits for a script to be true."""
        end = time.monotonic() + seconds
        while not (found := self.run(script)):
            assert time.monotonic() < end, f'{script}: {self.run("document.body.innerText")}'
            time.sleep(0.02)
        return found

    def open(self, address):
        self.call('Page.navigate', url=address)

    def size(self, width, height, dark=False):
        self.call('Emulation.setDeviceMetricsOverride', width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)
        self.call('Emulation.setEmulatedMedia', features=[
            {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}])

    def key(self, key, text=''):
        """Presses and releases a key, as a keyboard does."""
        values = {'key': key, 'text': text or (key if len(key) == 1 else '')}
        if key == 'Enter':
            values |= {'text': '\r', 'windowsVirtualKeyCode': 13}
        self.call('Input.dispatchKeyEvent', type='keyDown', **values)
        self.call('Input.dispatchKeyEvent', type='keyUp', key=key)

    def click(self, selector):
        """Clicks with the mouse on the middle of an element."""
        x, y = self.run(f'''(() => {{
            const found = document.querySelector({json.dumps(selector)});
            found.scrollIntoView({{block: 'center'}});
            const box = found.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2]; }})()''')
        for kind in ('mousePressed', 'mouseReleased'):
            self.call('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left', clickCount=1)

    def _read(self):
        while b'\0' not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], 60)
            data = os.read(self._answers, 1 << 16) if ready else b''
            assert data, 'the browser does not answer'
            self._rest += data
        line, _, self._rest = self._rest.partition(b'\0')
        found = json.loads(line)
        values = found.get('params', {})
        if found.get('method') == 'Network.requestWillBeSent':
            self.requests.append(values['request']['url'])
        elif found.get('method') == 'Runtime.exceptionThrown':
            self.errors.append(values['exceptionDetails']['text'])
        elif found.get('method') == 'Log.entryAdded' and values['entry']['level'] == 'error':
            self.errors.append(values['entry']['text'])
        return found


@contextlib.contextmanager
def browser(folder):
    """Context manager: a `Browser` with a profile in `folder`."""
    theirs, commands = os.pipe()
    answers, back = os.pipe()
    process = subprocess.Popen(
        ['bash', '-c', f'exec "$@" 3<&{theirs} 4>&{back}', 'bash', CHROMIUM,
         f'--user-data-dir={folder / "profile"}', *_FLAGS], pass_fds=(theirs, back),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(theirs)
    os.close(back)
    try:
        yield Browser(commands, answers)
    finally:
        process.terminate()
        process.wait(30)
        os.close(commands)
        os.close(answers)
