// SPDX-License-Identifier: Apache-2.0
//
// The timeline: a row for each event, in the order of virtual time, and a lane for each host. The rows that can be seen
// are elements; the lanes, arrows, bands and bars beside them are one canvas that moves with the rows.
//
// timeline_data.js, timeline_graph.js and timeline_panel.js come before this file in one module. Every text of the data
// is put into the page as text, never as markup.

// --- What is shown ---------------------------------------------------------------------------------------------------

const Shown = {FOLDED: 0, OPENED: 1, ALWAYS: 2};  // What is opened shows its details only where they are asked for.
const shown = new Uint8Array(count);
let details = false;
let rows = [];   // Indices of events; ~n is folds[n].
let folds = [];  // {first, last: indices; events: how many of them would show}
const rowOf = new Int32Array(count);  // Of what is folded: the row of the fold.
const isShown = new Uint8Array(count);
const isOfOperation = new Uint8Array(count);  // Shows for an operation that would lie in a fold otherwise.
let onlySlice = true;

// Of each event the nearest cause that shows, or -1.
const origins = new Int32Array(count);

const counts = (i) => details || isDetail[i] === 0;
const isAskedFor = (i) =>
    i === lastOfSlice || shown[i] === Shown.ALWAYS || ((inSlice[i] === 1 || shown[i] === Shown.OPENED) && counts(i));

const isWanted = (i) => isOfOperation[i] === 1 || isAskedFor(i);

// The first event that is not earlier than `time`, or, `behind` it, later.
function indexAt(time, behind) {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < time || (behind && times[middle] === time)) low = middle + 1;
    else high = middle;
  }
  return low;
}

// An operation of which no row tells has the rows of its begin and its end. Of many such, these: what cannot be right,
// the last ones before the failure, and the first ones behind it; folds count the others.
const OPERATIONS_MAX = 20;
function showOperations() {
  isOfOperation.fill(0);
  const askedBefore = new Int32Array(count + 1);
  for (let i = 0; i < count; i++) askedBefore[i + 1] = askedBefore[i] + (isAskedFor(i) ? 1 : 0);
  const folded = [];
  for (const bar of bars) {
    const [from, to] = [indexAt(bar.begin, false), indexAt(bar.end, true)];
    if (askedBefore[from] === askedBefore[to]) folded.push({bar, from, to});
  }
  const failed = failureIndex >= 0 ? times[failureIndex] : data.end;
  const away = ({bar}) => (bar.bad ? -1 : bar.begin <= failed ? failed - bar.begin : bar.begin);
  folded.sort((a, b) => away(a) - away(b));
  for (const {bar, from, to} of folded.slice(0, OPERATIONS_MAX)) {
    let own = [];
    let any = [];
    for (let i = from; i < to; i++) {
      if (!counts(i)) continue;
      any = [any[0] ?? i, i];
      if (laneOf(i) === bar.lane) own = [own[0] ?? i, i];
    }
    // Where nothing happens meanwhile, it is before what comes next.
    let next = from;
    while (next < count && !counts(next)) next++;
    for (const i of own.length > 0 ? own : any.length > 0 ? any : [Math.min(next, count - 1)]) isOfOperation[i] = 1;
  }
}

function layOutRows() {
  if (count > 0) showOperations();
  rows = [];
  folds = [];
  onlySlice = true;
  let fold = null;
  const showEvent = (i) => {
    isShown[i] = 1;
    rowOf[i] = rows.push(i) - 1;
    if (inSlice[i] === 0 && shown[i] !== Shown.FOLDED) onlySlice = false;
  };
  const endFold = () => {
    if (fold !== null && fold.events === 1) showEvent(fold.last);  // It takes the room of a fold.
    else if (fold !== null && fold.events > 1) rows.push(~(folds.push(fold) - 1));
    fold = null;
  };
  isShown.fill(0);
  for (let i = 0; i < count; i++) {
    if (isWanted(i)) {
      endFold();
      showEvent(i);
      continue;
    }
    rowOf[i] = rows.length;
    if (!counts(i)) continue;
    if (fold === null) fold = {first: i, last: i, events: 0, operations: 0};
    fold.last = i;
    fold.events++;
  }
  endFold();
  const end = Math.max(rows.length - 1, 0);
  for (let i = count; i-- > 0 && rowOf[i] > end;) rowOf[i] = end;
  for (let i = 0; i < count; i++) {
    const cause = causes[i];
    origins[i] = cause < 0 || isShown[cause] === 1 ? cause : origins[cause];
  }
}

// In rows, which have fractions within a fold: where a stretch of time begins or ends.
const firstTime = (row) => times[rows[row] >= 0 ? rows[row] : folds[~rows[row]].first];
function placeOfTime(time, atEnd) {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const before = atEnd ? firstTime(middle) <= time : firstTime(middle) < time;
    if (before) low = middle + 1;
    else high = middle;
  }
  if (low === 0 || rows[low - 1] >= 0) return low;
  const fold = folds[~rows[low - 1]];
  const [first, last] = [times[fold.first], times[fold.last]];
  return time >= last ? low : low - 1 + (time - first) / (last - first);
}

function setShown(from, to, value) {
  for (let i = from; i <= to; i++) {
    if (shown[i] < value) shown[i] = value;
  }
}

// --- The drawing -----------------------------------------------------------------------------------------------------

const ROW_HEIGHTS = [2, 4, 8, 14, 18, 22, 28, 36];
const TEXT_FROM = 14;  // A height at which rows have text.
const LETTER_WIDTH = 7.3;  // Of the rows' font.
const LABEL_FONT = '11px system-ui, sans-serif';
const LEFT = {number: 58, time: 100, since: 58, gap: 8};
const LANES_ALWAYS = 8;  // Of more than these, only those of what is shown.
let zoom = ROW_HEIGHTS.indexOf(22);
const scroll = byId('scroll');
const sheet = byId('sheet');
const rowBox = byId('rows');
const graph = byId('graph');
const overview = byId('overview');
const rowElements = new Map();  // By row.
let colors = {};
let left = 0;       // Of the lanes, in pixels from the left of the rows.
let laneWidth = 0;  // In pixels.
let columnCount = 0;
let selected = -1;
let chain = new Set();  // The selected event, its cause, the cause of that...

const rowHeight = () => ROW_HEIGHTS[zoom];
const laneLeft = (lane) => lanes[lane].column * laneWidth;
const laneX = (lane) => laneLeft(lane) + laneWidth / 2;
const isLaneShown = (lane) => lane >= 0 && lanes[lane].column >= 0;
const barWidth = () => Math.min(18, laneWidth - 2);
const lanesWidth = () => columnCount * laneWidth;
const laneOf = (i) => {
  const host = columns.host[i];
  return host >= 0 && host < hosts.length ? host : -1;
};

function readColors() {
  const style = getComputedStyle(document.documentElement);
  const names = ['paper', 'lane', 'ink', 'dim', 'path', 'arrow', 'bad', 'fault', 'fault-paper', 'operation'];
  colors = {};
  for (const name of names) colors[name] = style.getPropertyValue(`--${name}`).trim();
  for (const lane of lanes) lane.rgb = style.getPropertyValue(lane.color).trim();
}

let frame = 0;
function drawSoon() {
  if (frame === 0) frame = requestAnimationFrame(draw);
}

// After a change of what is shown or how large.
function layOut() {
  layOutRows();
  for (const stretch of [...bands, ...bars]) {
    stretch.top = placeOfTime(stretch.begin, false);
    stretch.bottom = placeOfTime(stretch.end, true);
    const row = Math.floor(stretch.top);
    stretch.folded = rows[row] < 0 && stretch.bottom <= row + 1;
  }
  for (const bar of bars) {
    if (bar.folded) folds[~rows[Math.floor(bar.top)]].operations++;
  }
  chooseLanes();
  for (const box of rowElements.values()) box.remove();
  rowElements.clear();
  resize();
  byId('fold').setAttribute('aria-pressed', String(onlySlice));
  byId('unfold').setAttribute('aria-pressed', String(!onlySlice && folds.length === 0));
}

function chooseLanes() {
  const used = new Set();
  for (const i of rows) {
    if (i < 0) continue;
    used.add(columns.host[i]);
    if (packets.has(i)) used.add(packets.get(i).from).add(packets.get(i).to);
  }
  for (const bar of bars) {
    if (!bar.folded) used.add(bar.lane);
  }
  columnCount = 0;
  lanes.forEach((lane, i) => {
    lane.column = lanes.length <= LANES_ALWAYS || used.has(i) ? columnCount++ : -1;
  });
}

function resize() {
  const width = lastWidth = scroll.clientWidth;
  left = LEFT.number + LEFT.time + (width > 900 ? LEFT.since + 3 * LEFT.gap : 2 * LEFT.gap);
  laneWidth = Math.min(80, Math.max(4, Math.floor((width * 0.42) / Math.max(columnCount, 1))));
  rowBox.style.setProperty('--left', `${left}px`);
  const longest = Math.max(...lanes.map((lane) => (lane.column < 0 ? 0 : lane.name.length)), 4);
  rowBox.style.setProperty('--host', `${Math.min(longest * LETTER_WIDTH + 4, 130)}px`);
  sheet.style.height = `${rows.length * rowHeight()}px`;
  nameLanes();
  drawSoon();
}

let lastWidth = 0;
function onResize() {
  if (scroll.clientWidth !== lastWidth) layOut();
  else drawSoon();
}

// The names stand upright where one would not fit.
function nameLanes() {
  const header = byId('lanes');
  const shownLanes = lanes.filter((lane) => lane.column >= 0);
  const steep = shownLanes.some((lane) => lane.name.length * LETTER_WIDTH > laneWidth - 4);
  header.classList.toggle('steep', steep);
  const longest = Math.max(...shownLanes.map((lane) => lane.name.length), 0);
  header.style.height = steep ? `${Math.min(longest * LETTER_WIDTH + 12, 160)}px` : '';
  const width = steep ? 18 : laneWidth;
  let end = -Infinity;
  const labels = [];
  for (const lane of shownLanes) {
    const x = left + (lane.column + 0.5) * laneWidth - width / 2;
    if (x < end) continue;
    end = x + width;
    const label = element('span', '', lane.name);
    label.title = lane.name;
    label.style.color = `var(${lane.color})`;
    label.style.left = `${x}px`;
    if (!steep) label.style.width = `${width}px`;
    labels.push(label);
  }
  const hidden = lanes.filter((lane) => lane.column < 0);
  if (hidden.length > 0) {
    const more = element('i', '', `and ${many(hidden.length, 'host')} without a part in it`);
    more.title = hidden.map((lane) => lane.name).join(', ');
    more.style.left = `${left + lanesWidth() + 8}px`;
    labels.push(more);
  }
  header.replaceChildren(...labels);
}

function draw() {
  frame = 0;
  const height = scroll.clientHeight;
  const top = scroll.scrollTop;
  const first = Math.max(0, Math.floor(top / rowHeight()) - 4);
  const last = Math.min(rows.length - 1, Math.ceil((top + height) / rowHeight()) + 4);
  drawRows(first, last);
  drawGraph(top, height, first, last);
  drawOverview(top, height);
}

// --- The rows ---

function drawRows(first, last) {
  for (const [row, box] of rowElements) {
    if (row >= first && row <= last) continue;
    box.remove();
    rowElements.delete(row);
  }
  for (let row = first; row <= last; row++) {
    if (rowElements.has(row)) continue;
    const box = rows[row] >= 0 ? eventRow(rows[row], row) : foldRow(folds[~rows[row]]);
    box.style.top = `${row * rowHeight()}px`;
    box.style.height = `${rowHeight()}px`;
    rowElements.set(row, box);
    rowBox.append(box);
  }
  for (const [row, box] of rowElements) {
    box.classList.toggle('selected', rows[row] >= 0 && rows[row] === selected);
    box.classList.toggle('match', rows[row] >= 0 && isMatch[rows[row]] === 1);
  }
}

function laneGap() {
  const gap = element('span');
  gap.style.width = `${lanesWidth()}px`;
  return gap;
}

function eventRow(i, row) {
  const box = element('div', 'row');
  box.dataset.event = numbers[i];
  const source = columns.source[i];
  const severity = source === Source.LOG ? textOf('verb', i) : '';
  box.classList.toggle('slice', inSlice[i] === 1 && !onlySlice);
  box.classList.toggle('aside', isOfOperation[i] === 1 && !isAskedFor(i));
  box.classList.toggle('note', source === Source.NOTE);
  box.classList.toggle('failure', source === Source.FAILURE);
  box.classList.toggle('warning', severity === 'W');
  box.classList.toggle('error', severity === 'E' || severity === 'F');
  if (rowHeight() < TEXT_FROM) {
    const every = Math.ceil(24 / rowHeight());
    if (row % every === 0) {
      box.classList.add('small');
      box.append(element('span', 'number', `#${numbers[i]}`), element('span', 'time', timeText(times[i])));
    }
    return box;
  }
  const before = row > 0 ? rows[row - 1] : -1;
  const since = before >= 0 ? times[i] - times[before] : 0;
  const host = element('span', 'host', hostName(columns.host[i]));
  if (laneOf(i) >= 0) host.style.color = `var(${lanes[laneOf(i)].color})`;
  const text = element('span', 'text');
  const what = element('span', 'what');
  what.append(element('b', '', verbOf(i)), verbOf(i) === '' ? '' : '  ', shortOf(i));
  text.append(what, element('span', 'place', textOf('place', i)));
  box.append(element('span', 'number', `#${numbers[i]}`), element('span', 'time', timeText(times[i])),
             element('span', 'since', since > 0 ? `+${spanText(since)}` : ''), laneGap(), host,
             element('span', 'task', textOf('task', i)), text);
  return box;
}

const SOME = 20;
function foldRow(fold) {
  const box = element('div', 'row fold');
  box.addEventListener('click', () => open(fold.first, fold.last));
  if (rowHeight() < TEXT_FROM) return box;
  const span = times[fold.last] - times[fold.first];
  const within = span > 0 ? ` in ${spanText(span)}` : '';
  const what = element('span', 'what', `\u2026 ${many(fold.events, 'more event')}${within}`);
  if (fold.events > 2 * SOME) {
    what.append(partButton(`first ${SOME}`, fold, 1), partButton(`last ${SOME}`, fold, -1));
  }
  if (fold.operations > 0) what.append(element('span', 'operations', many(fold.operations, 'operation')));
  box.append(element('span', 'number'), element('span', 'time', timeText(times[fold.first])), element('span', 'since'),
             laneGap(), what);
  return box;
}
// Opens some events at the beginning (`step` 1) or the end (-1) of a fold.
function partButton(text, fold, step) {
  const button = element('button', '', text);
  button.type = 'button';
  button.addEventListener('click', (event) => {
    event.stopPropagation();
    let i = step > 0 ? fold.first : fold.last;
    const begin = i;
    for (let opened = 0; opened < SOME; i += step) opened += counts(i) ? 1 : 0;
    open(Math.min(begin, i - step), Math.max(begin, i - step), step < 0);
  });
  return button;
}

function open(first, last, keepBelow = false) {
  const anchor = keepBelow && last + 1 < count ? last + 1 : first;
  const before = rowOf[anchor] * rowHeight() - scroll.scrollTop;
  setShown(first, last, Shown.OPENED);
  layOut();
  scroll.scrollTop = rowOf[anchor] * rowHeight() - before;
}

// --- Selection -------------------------------------------------------------------------------------------------------

// Opens what is around event `i`, if it does not show, and scrolls to it.
function reveal(i) {
  if (isShown[i] === 0) {
    const around = 5;
    setShown(Math.max(i - around, 0), Math.min(i + around, count - 1), Shown.OPENED);
    shown[i] = Shown.ALWAYS;
    layOut();
  }
  // As little as possible, and to the middle from afar.
  const margin = 2 * rowHeight();
  const extent = scroll.clientHeight;
  const top = rowOf[i] * rowHeight() - margin;
  const bottom = top + rowHeight() + 2 * margin;
  const above = scroll.scrollTop - top;
  const below = bottom - (scroll.scrollTop + extent);
  if (Math.max(above, below) > extent / 2) scroll.scrollTop = (top + bottom - extent) / 2;
  else if (above > 0) scroll.scrollTop = top;
  else if (below > 0) scroll.scrollTop = bottom - extent;
}

function select(i) {
  selected = i;
  chain = new Set();
  for (let link = i; link >= 0; link = causes[link]) chain.add(link);
  fillPanel();
  drawSoon();
}
// As if by a link, without an entry of its own in the history.
function go(i) {
  if (i < 0 || i >= count) return;
  history.replaceState(null, '', `#e${numbers[i]}`);
  select(i);
  reveal(i);
}

function deselect() {
  history.replaceState(null, '', '#');
  select(-1);
  layOut();
}

function followAddress() {
  const match = /^#e(\d+)$/.exec(location.hash);
  const i = match === null ? -1 : indexOf(Number(match[1]));
  if (i < 0) return false;
  select(i);
  reveal(i);
  return true;
}

// --- Search ----------------------------------------------------------------------------------------------------------

const search = byId('search');
const isMatch = new Uint8Array(count);
let matches = [];
let haystacks = null;

// All words have to be there. "#17" is the event of that number alone.
function find() {
  isMatch.fill(0);
  matches = [];
  const query = search.value.trim().toLowerCase();
  const number = /^#e?(\d+)$/.exec(query);
  if (number !== null) {
    const i = indexOf(Number(number[1]));
    if (i >= 0) matches.push(i);
  } else if (query !== '') {
    haystacks = haystacks || Array.from({length: count}, (_, i) => haystackOf(i));
    const words = query.split(/\s+/);
    for (let i = 0; i < count; i++) {
      if (words.every((word) => haystacks[i].includes(word))) matches.push(i);
    }
  }
  for (const i of matches) isMatch[i] = 1;
  sayFound();
  drawSoon();
}
function haystackOf(i) {
  const parts = [hostName(columns.host[i]), textOf('task', i), textOf('place', i), verbOf(i), textOf('text', i),
                 textOf('kind', i), textOf('connection', i)];
  return parts.join('\n').toLowerCase();
}
function sayFound() {
  const at = matches.indexOf(selected);
  byId('found').textContent = search.value.trim() === '' ? '' :
      at >= 0 ? `${at + 1} of ${matches.length}` : matches.length === 0 ? 'nothing' : `${matches.length} found`;
}
// The next match after the selected event, or the one before.
function step(direction) {
  if (matches.length === 0) return;
  let at = matches.findIndex((i) => i >= selected);
  if (at < 0) at = matches.length;
  if (direction < 0) at -= 1;
  else if (matches[at] === selected) at += 1;
  go(matches[(at + matches.length) % matches.length]);
  sayFound();
}

// --- Controls --------------------------------------------------------------------------------------------------------

// Keeps what is in the middle, or the selected event, where it is.
function setZoom(value) {
  const next = Math.min(Math.max(value, 0), ROW_HEIGHTS.length - 1);
  if (next === zoom) return;
  const middle = scroll.scrollTop + scroll.clientHeight / 2;
  const selectedY = selected < 0 ? -1 : (rowOf[selected] + 0.5) * rowHeight();
  const isSeen = selectedY >= scroll.scrollTop && selectedY <= scroll.scrollTop + scroll.clientHeight;
  const anchor = isSeen ? selectedY : middle;
  const place = anchor / rowHeight();
  const offset = anchor - scroll.scrollTop;
  zoom = next;
  layOut();
  scroll.scrollTop = place * rowHeight() - offset;
  if (isSeen) reveal(selected);
}

function showAll() {
  setShown(0, count - 1, Shown.OPENED);
  keepSelected();
}
function foldAll() {
  shown.fill(Shown.FOLDED);
  if (selected >= 0) shown[selected] = Shown.ALWAYS;
  keepSelected();
}
function setDetails(value) {
  details = value;
  byId('details').checked = value;
  keepSelected();
}
// Lays out anew, with the selected event in sight.
function keepSelected() {
  layOut();
  reveal(selected >= 0 ? selected : lastOfSlice >= 0 ? lastOfSlice : count - 1);
}

// The next row above or below that is an event.
function neighbour(direction) {
  let row = selected < 0 ? rows.length : rowOf[selected];
  do row += direction; while (row >= 0 && row < rows.length && rows[row] < 0);
  return row >= 0 && row < rows.length ? rows[row] : -1;
}

// What is known of why and what for, without the details if they are not asked for.
function causeOf(i) {
  let cause = causes[i];
  while (cause >= 0 && !counts(cause)) cause = causes[cause];
  return cause;
}
function shownEffectsOf(i) {
  const result = [];
  const open = [i];
  while (open.length > 0) {
    for (const effect of effectsOf(open.pop())) (counts(effect) ? result : open).push(effect);
  }
  return result.sort((a, b) => a - b);
}
function effectOf(i) {
  const effects = shownEffectsOf(i);
  const inStory = effects.find((effect) => inSlice[effect] === 1);
  return inStory !== undefined ? inStory : effects.length > 0 ? effects[0] : -1;
}

const keyActions = {
  'ArrowUp': () => go(neighbour(-1)),
  'ArrowDown': () => go(neighbour(1)),
  'ArrowLeft': () => go(selected >= 0 ? causeOf(selected) : -1),
  'ArrowRight': () => go(selected >= 0 ? effectOf(selected) : -1),
  '/': () => search.select(),
  'n': () => step(1),
  'N': () => step(-1),
  'a': () => (folds.length > 0 ? showAll() : foldAll()),
  'd': () => setDetails(!details),
  'f': () => go(lastOfSlice),
  '+': () => setZoom(zoom + 1),
  '=': () => setZoom(zoom + 1),
  '-': () => setZoom(zoom - 1),
  'Escape': deselect,
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === search) {
    if (event.key === 'Enter') step(event.shiftKey ? -1 : 1);
    if (event.key === 'Escape') scroll.focus();
    return;
  }
  const action = keyActions[event.key];
  if (action === undefined) return;
  event.preventDefault();
  action();
}

function listen() {
  const click = (id, action) => byId(id).addEventListener('click', action);
  click('fold', foldAll);
  click('unfold', showAll);
  click('previous', () => step(-1));
  click('next', () => step(1));
  click('zoom-in', () => setZoom(zoom + 1));
  click('zoom-out', () => setZoom(zoom - 1));
  click('failure', () => go(lastOfSlice));
  click('copy', copyReplay);
  byId('details').addEventListener('change', (event) => setDetails(event.target.checked));
  search.addEventListener('input', find);
  rowBox.addEventListener('click', (event) => {
    const box = event.target.closest('.row[data-event]');
    if (box !== null) go(indexOf(Number(box.dataset.event)));
  });
  overview.addEventListener('click', (event) => {
    const place = event.offsetY / overview.clientHeight;
    scroll.scrollTop = place * rows.length * rowHeight() - scroll.clientHeight / 2;
  });
  scroll.addEventListener('scroll', drawSoon, {passive: true});
  scroll.addEventListener('wheel', (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    setZoom(zoom + (event.deltaY < 0 ? 1 : -1));
  }, {passive: false});
  addEventListener('keydown', onKey);
  addEventListener('hashchange', followAddress);
  new ResizeObserver(() => requestAnimationFrame(onResize)).observe(scroll);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    readColors();
    drawSoon();
  });
}

fillSummary();
readColors();
select(lastOfSlice);
layOut();
if (!followAddress()) keepSelected();
draw();
listen();
requestAnimationFrame(() => setTimeout(() => {
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}));
