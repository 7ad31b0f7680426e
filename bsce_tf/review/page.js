'use strict';

const $ = id => document.getElementById(id);
const meta = name => document.querySelector(`meta[name="${name}"]`).content;
const form = $('form');
const count = number => number.toLocaleString('en');
let now = null;  // the last answer of the server
let ofClass = null;  // {id, name} of the filter by class
let busy = false;
const made = [];  // decisions of this tab: {index, version} to undo

function element(name, text, values = {}) {
  const found = document.createElement(name);
  if (text !== undefined) found.textContent = text;
  for (const [key, value] of Object.entries(values)) found.setAttribute(key, value);
  return found;
}

function address(index, kind) {
  return `/picture/${index}/${kind}?of=${meta('session')}`;
}

function large(item) {  // a picture that was replaced has another address
  return `${address(item.index, 'large')}&${item.digest.slice(0, 12)}`;
}

function picture(index, text) {
  const image = element('img', undefined, {src: address(index, 'small'), alt: text, title: text});
  image.onload = () => image.classList.toggle('tiny', image.naturalWidth < 100);
  image.onerror = () => image.replaceWith(
    element('span', 'cannot be read', {class: 'unreadable', title: text}));
  return image;
}

function view(step = 1) {
  const values = Object.fromEntries(new FormData(form));
  return {...values, given: ofClass ? ofClass.id : '', place: now ? now.place : -1, step};
}

async function ask(path, body) {
  if (busy) return null;
  busy = true;
  document.body.setAttribute('aria-busy', 'true');
  try {
    const found = await fetch(path, body === undefined ? {} : {
      method: 'POST', body: JSON.stringify(body),
      headers: {'Content-Type': 'application/json', 'X-Page-Token': meta('token')}});
    const text = await found.text();
    let answer;
    try { answer = JSON.parse(text); } catch { answer = {error: text.slice(0, 300)}; }
    if (answer.notes) show(answer);
    say(answer.error || '');
    return found.ok ? answer : null;
  } catch {
    say('The server does not answer. Was it stopped? Start `bsce review` again and open its new ' +
      'address; what this page showed as saved is saved.');
    return null;
  } finally {
    busy = false;
    document.body.removeAttribute('aria-busy');
  }
}

function say(text) {
  $('message').textContent = text;
}

async function next(step = 1, from) {
  while (busy) await new Promise(done => setTimeout(done, 20));
  const asked = view(step);
  if (from !== undefined) asked.place = from;
  return ask('/item?' + new URLSearchParams(asked));
}

async function decide(decision, label) {
  const item = now && now.item;
  if (!item || busy || disabled(decision)) return;
  const index = item.index;
  const answer = await ask('/decide', {
    ...view(), index, decision, label: label === undefined ? null : label,
    version: item.version, digest: item.digest, problem: Boolean(item.problem)});
  if (answer) {
    made.push({index, version: item.version + 1});
    say(`Saved: ${item.name}: ${decision}`);
  }
}

function take() {
  if (now.item.suggested) decide('suggestion', now.item.suggested.id);
}

async function undo() {
  const last = made.pop() || {};
  const answer = await ask('/undo', {...view(), index: last.index ?? null,
    version: last.version ?? null});
  if (answer) say('Undone; this is the image.');
}

function disabled(decision) {
  const item = now && now.item;
  if (['undo', 'back', 'on'].includes(decision)) return false;
  if (!item) return true;
  if (item.problem) return !['remove', 'skip'].includes(decision);
  return decision === 'suggestion' && !item.suggested;
}

function show(answer) {
  now = answer;
  form.elements.list.value = answer.list;
  for (const option of form.elements.list.options) {
    option.textContent = option.textContent.replace(/ \([\d,]+\)$/, '') +
      ` (${count(answer.lists[option.value])})`;
  }
  const rate = answer.rate ? `, ${answer.rate.toFixed(answer.rate < 10 ? 1 : 0)} a minute, about ` +
    `${duration(answer.open / answer.rate)} left` : '';
  const skipped = answer.skipped ? `, ${count(answer.skipped)} skipped` : '';
  $('progress').textContent = `${count(answer.decided)} of ${count(answer.total)} decided` +
    skipped + rate;
  $('bar').max = Math.max(answer.total, 1);
  $('bar').value = answer.decided;
  $('notes').replaceChildren(...answer.notes.map(note => element('p', note, {class: 'note'})));
  const item = answer.item;
  $('item').hidden = !item;
  $('none').hidden = Boolean(item);
  for (const button of document.querySelectorAll('[data-do]')) {
    button.disabled = disabled(button.dataset.do);
  }
  if (item) showItem(item);
  if (answer.ahead) new Image().src = large(answer.ahead);
}

function showItem(item) {
  const image = $('picture');
  $('whole').hidden = Boolean(item.problem);
  $('problem').hidden = !item.problem;
  if (item.problem) {
    image.removeAttribute('src');
    $('problem').textContent = `This image cannot be shown: ${item.problem} Skip it, or remove it.`;
  } else {
    image.src = large(item);
    image.alt = `${item.name}, labelled ${item.given.name}`;
    image.classList.toggle('tiny', Math.max(item.width, item.height) < 100);
    $('whole').href = address(item.index, 'whole');
  }
  $('labels').textContent = item.suggested
    ? `${item.given.name} → ${item.suggested.name}?` : `${item.given.name}?`;
  $('name').textContent = item.name;
  $('facts').textContent = [
    item.width ? `${item.width} × ${item.height} pixels` : '',
    item.wrong === null ? '' : `wrong with a probability of ${(100 * item.wrong).toFixed(1)} %`,
    item.score === null ? '' : `score ${item.score.toFixed(4)}`].filter(Boolean).join(', ');
  $('state').textContent = {
    '': '', skip: 'Skipped.', remove: 'Decided: removed.'}[item.decision] ??
    `Decided: ${item.label.name}.`;
  const sides = [side('given', item.given)];
  if (item.suggested) sides.push(side('suggested', item.suggested));
  $('sides').replaceChildren(...sides);
  $('twins').replaceChildren(...(item.twins.length ? [
    element('h2', 'Nearly the same image'), row(item.twins.map(twin => figure(
      twin.index, `${twin.label}, similarity ${twin.cosine.toFixed(3)}: ${twin.name}`)))] : []));
  const list = element('ol');
  item.best.forEach((found, i) => {
    const line = element('li'), button = element('button', undefined, {type: 'button'});
    button.append(element('kbd', i + 1), element('span', found.name),
      element('span', `${(100 * found.probability).toFixed(1)} %`, {class: 'soft'}));
    button.onclick = () => choose(found);
    line.append(button);
    list.append(line);
  });
  $('best').replaceChildren(...(item.best.length ? [
    element('h2', 'What the networks take it for'), list] : []));
}

function choose(found) {
  const item = now.item;
  if (found.id === item.given.id) decide('keep');
  else if (item.suggested && found.id === item.suggested.id) take();
  else decide('another', found.id);
}

function side(kind, found) {
  const section = element('section', undefined, {'data-side': kind});
  section.append(element('h2', `${kind}: ${found.name}`), found.examples.length
    ? row(found.examples.map(index => picture(index, `${found.name}, example`)))
    : element('p', 'It has no image whose label is not doubtful.', {class: 'soft'}),
  element('p', `${count(found.images)} images`, {class: 'soft'}));
  return section;
}

function row(children) {
  const found = element('div', undefined, {class: 'row'});
  found.append(...children);
  return found;
}

function figure(index, text) {
  const found = element('div');
  found.append(picture(index, text), element('span', text, {class: 'soft'}));
  return found;
}

function duration(minutes) {
  if (minutes < 1) return 'a minute';
  if (minutes < 90) return `${Math.round(minutes)} min`;
  return `${(minutes / 60).toFixed(1)} h`;
}

// ---- search of a class

const search = {chosen: null, found: [], at: 0, asked: 0, timer: 0};

function openSearch(chosen, every = false) {
  search.chosen = chosen;
  $('every').hidden = !every;
  $('find').value = '';
  showFound([]);
  $('search').showModal();
  $('find').focus();
}

function showFound(found) {
  search.found = found;
  search.at = 0;
  $('found').replaceChildren(...found.map((one, i) => {
    const line = element('li', `${one.name} (${count(one.images)})`, {
      role: 'option', id: `found-${i}`});
    line.onclick = () => pick(i);
    return line;
  }));
  mark(0);
}

function mark(at) {
  const lines = $('found').children;
  search.at = Math.max(0, Math.min(at, lines.length - 1));
  for (const [i, line] of [...lines].entries()) {
    line.setAttribute('aria-selected', i === search.at);
  }
  if (lines.length) {
    lines[search.at].scrollIntoView({block: 'nearest'});
    $('find').setAttribute('aria-activedescendant', `found-${search.at}`);
  }
}

async function look() {
  const number = ++search.asked, text = $('find').value;
  if (!text.trim()) return showFound([]);
  try {
    const answer = await fetch('/classes?' + new URLSearchParams({find: text}));
    const found = await answer.json();
    if (number === search.asked) {
      showFound(found);
      $('hint').textContent = found.length ? 'At most 50 classes are shown. ↑ ↓ and Enter ' +
        'choose, Esc closes.' : 'No class has this in its name.';
    }
  } catch {
    say('The server does not answer.');
  }
}

function pick(at) {
  const one = search.found[at];
  if (!one) return;
  $('search').close();
  search.chosen(one);
}

$('find').oninput = () => {
  search.asked++;  // what was asked before is out of date
  search.found = [];
  clearTimeout(search.timer);
  search.timer = setTimeout(look, 60);
};
$('find').onkeydown = event => {
  if (event.key === 'ArrowDown') mark(search.at + 1);
  else if (event.key === 'ArrowUp') mark(search.at - 1);
  else if (event.key === 'Enter') pick(search.at);
  else return;
  event.preventDefault();
};
$('close').onclick = () => $('search').close();
$('every').onclick = () => { $('search').close(); filterClass(null); };

function filterClass(one) {
  ofClass = one;
  $('of-class').textContent = one ? one.name : 'all';
  next(1, -1);
}

// ---- buttons and keys

const actions = {
  keep: () => decide('keep'), suggestion: () => now && now.item && take(),
  another: () => disabled('another') || openSearch(choose),
  remove: () => decide('remove'), skip: () => decide('skip'), undo,
  back: () => next(-1), on: () => next(1)};
const keys = {k: 'keep', t: 'suggestion', a: 'another', r: 'remove', s: 'skip', u: 'undo',
  ArrowLeft: 'back', ArrowRight: 'on'};

for (const button of document.querySelectorAll('[data-do]')) {
  button.onclick = () => { actions[button.dataset.do](); button.blur(); };
}
document.onkeydown = event => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || $('search').open ||
      ['INPUT', 'SELECT', 'TEXTAREA'].includes(event.target.tagName)) return;
  const digit = Number(event.key);
  const best = now && now.item && !now.item.problem && now.item.best[digit - 1];
  const name = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (best) choose(best);
  else if (name) actions[name]();
  else return;
  event.preventDefault();
};
form.onsubmit = event => event.preventDefault();
form.onchange = event => {
  if (event.target.tagName === 'SELECT') event.target.blur();  // so that keys decide again
  next(1, -1);
};
$('of-class').onclick = () => openSearch(filterClass, true);
$('clear').onclick = () => {
  const list = form.elements.list.value;
  form.reset();
  form.elements.list.value = list;
  filterClass(null);
};

$('app').hidden = false;
next(1, -1);
