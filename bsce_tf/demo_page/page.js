'use strict';

const at = id => document.getElementById(id);
const token = document.querySelector('meta[name="token"]').content;
let number = 0;  // of the last picture: an answer to an earlier one is not shown

function made(kind, text = '', name = '') {
  const element = document.createElement(kind);
  element.textContent = text;
  if (name) element.className = name;
  return element;
}

function image(address, words) {
  const found = made('img');
  found.alt = words;
  found.addEventListener('load', () => found.classList.toggle('tiny', found.naturalWidth <= 64));
  found.src = address;
  return found;
}

async function ask(path, options = {}) {
  const found = await fetch(path, options);
  const text = await found.text();
  try { return JSON.parse(text); } catch { return {error: text.slice(0, 300)}; }
}

function show(answer) {
  at('picture').src = answer.picture;
  at('facts').textContent = `${answer.size[0]} × ${answer.size[1]} pixels, upright`;
  at('classes').replaceChildren(...answer.classes.map(found => {
    const row = made('li'), bar = made('progress'), examples = made('div', '', 'examples');
    bar.max = 1;
    bar.value = found.score;
    bar.setAttribute('aria-label', `score of ${found.name}`);
    const votes = answer.voting ? `, ${found.votes} vote${found.votes === 1 ? '' : 's'}` : '';
    examples.append(...found.examples.map(address => image(address, `a picture of ${found.name}`)));
    row.append(made('span', found.name, 'name'),
               made('span', ` ${(100 * found.score).toFixed(1)} %${votes}`, 'soft'), bar, examples);
    return row;
  }));
  at('crops').replaceChildren(...answer.crops.map(crop => {
    const item = made('li');
    item.append(image(crop.picture, ''),
                made('span', `resized to ${crop.scale}, middle ${crop.size} pixels`));
    return item;
  }));
  at('seen').hidden = !answer.crops.length;
  at('answer').hidden = false;
}

async function send(file) {
  const mine = ++number;
  at('message').textContent = 'The model looks at the picture …';
  let answer;
  try {
    answer = await ask('/answer', {method: 'POST', body: file, headers: {
      'Content-Type': 'application/octet-stream', 'X-Page-Token': token}});
  } catch {
    answer = {error: 'The server does not answer. Was it stopped? Start `bsce demo-page` again ' +
      'and open its new address.'};
  }
  if (mine !== number) return;
  at('message').textContent = answer.error || '';
  if (answer.error) at('answer').hidden = true;
  else show(answer);
}

function first(files) {
  if (files.length) send(files[0]);
}

at('file').addEventListener('change', event => {
  first(event.target.files);
  event.target.value = '';  // the same file may be chosen again
});
document.addEventListener('paste', event => first(event.clipboardData.files));
document.addEventListener('dragover', event => {
  event.preventDefault();
  at('drop').classList.add('over');
});
document.addEventListener('dragleave', () => at('drop').classList.remove('over'));
document.addEventListener('drop', event => {
  event.preventDefault();
  at('drop').classList.remove('over');
  first(event.dataTransfer.files);
});
ask('/model').then(found => {
  at('model').textContent = found.name || '';
  at('notes').replaceChildren(...(found.notes || []).map(text => made('p', text, 'note')));
});
