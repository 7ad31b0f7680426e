"""The page in a browser, where one is installed."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from bsce_tf.report.report import report
from tests.report.report_page import Page

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which(
    'google-chrome')


def chromium(folder, page, *flags):
    return subprocess.run(
        [CHROMIUM, '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
         '--no-first-run', '--disable-background-networking', '--disable-component-update',
         '--disable-sync', '--enable-logging=stderr', '--v=0', '--virtual-time-budget=4000',
         f'--user-data-dir={folder / "profile"}', *flags, page.as_uri()],
        capture_output=True, text=True, timeout=90)


@pytest.mark.skipif(CHROMIUM is None, reason='no Chromium is installed')
def test_a_browser_shows_it_without_an_error(stages, hostile, config, tmp_path):
    config.report.output = str(tmp_path / 'page.html')
    page = report(config, f'{hostile},{stages}')
    config.report.output = ''
    # The page in frames of a phone's and a desk's width, and what a browser makes of it.
    text = json.dumps(page.read_text(encoding='utf-8')).replace('<', '\\u003c')
    (tmp_path / 'frames.html').write_text('''<!DOCTYPE html><meta charset="utf-8"><body><script>
      const found = [];
      for (const width of [360, 1200]) {
        const frame = document.createElement('iframe');
        frame.style = `width:${width}px;height:800px;border:0`;
        frame.onload = () => {
          const inner = frame.contentDocument, root = inner.documentElement;
          const whole = [...inner.images].filter(image => image.naturalWidth > 0);
          found.push([width, root.scrollWidth, whole.length, inner.querySelectorAll('svg').length,
            inner.scripts.length, inner.querySelector('h1').getBoundingClientRect().height > 0]);
          document.title = JSON.stringify(found);
        };
        frame.srcdoc = TEXT;
        document.body.append(frame);
      }</script>'''.replace('TEXT', text), encoding='utf-8')
    found = chromium(tmp_path, tmp_path / 'frames.html', '--dump-dom')
    shown = json.loads(re.search(r'<title>(.*?)</title>', found.stdout).group(1))
    parsed = Page(page.read_text(encoding='utf-8'))
    expected = [len(parsed.all('img')), len(parsed.all('svg')), 0, True]
    assert sorted(row[0] for row in shown) == [360, 1200]
    for width, wide, *rest in shown:
        assert wide <= width, 'the page scrolls sideways'
        assert rest == expected
    direct = chromium(tmp_path, page, '--dump-dom', f'--screenshot={tmp_path / "page.png"}',
                      '--window-size=1000,800')
    assert 'Report of 2 runs' in direct.stdout
    seen = np.asarray(Image.open(tmp_path / 'page.png').convert('L'))
    assert seen.shape == (800, 1000)
    assert 0.005 < (np.abs(seen - np.median(seen)) > 30).mean() < 0.5  # text on a plain ground
    for result in (found, direct):
        assert 'CONSOLE' not in result.stderr, result.stderr
