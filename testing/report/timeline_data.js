// SPDX-License-Identifier: Apache-2.0
//
// What the page knows: the events by their index, packets, arrows, lanes, bars and bands; and their texts.

const data = JSON.parse(document.getElementById('data').textContent);
const strings = data.strings;
const columns = data.events;  // A value of each event, by its index.
const count = columns.number.length;
const hosts = data.hosts;

const Source = {TRACE: 0, LOG: 1, NOTE: 2, FAILURE: 3};
const Step = {SENT: 0, ARRIVES: 1, LOST: 2};

const sums = (differences) => {
  const values = new Float64Array(differences.length);
  let sum = 0;
  for (let i = 0; i < differences.length; i++) values[i] = sum += differences[i];
  return values;
};
const numbers = sums(columns.number);
const times = sums(columns.time);
const causes = Int32Array.from(columns.cause, (back, i) => (back === 0 ? -1 : i - back));
const textOf = (column, i) => strings[columns[column][i]];

const inSlice = new Uint8Array(count);
for (const i of data.slice) inSlice[i] = 1;
const failureIndex = columns.source.lastIndexOf(Source.FAILURE);
const lastOfSlice = data.slice.length > 0 ? data.slice[data.slice.length - 1] : failureIndex;
// What is known by its numbers alone is a detail too.
const isDetail = Uint8Array.from(columns.detail, (detail, i) =>
    detail === 1 || (columns.source[i] === Source.TRACE && textOf('verb', i) === '') ? 1 : 0);

const packets = new Map();  // By the index of the event.
for (const [event, step, protocol, flags, from, to, ordinal, source, destination, sequence, acknowledgement, window,
            payload, size, lost, arrival, again] of data.packets) {
  packets.set(event, {step, protocol, flags, from, to, ordinal, source: strings[source],
                      destination: strings[destination], sequence, acknowledgement, window,
                      payload: strings[payload], size, lost: strings[lost], arrival, again});
}

// The ways of packets: {from, to: events, lost: why, again: whether it comes again}; `to` is -1 for one that is lost
// where it is sent.
const arrows = [];
const arrived = new Set();  // Events at the end of an arrow.
findArrows();

function findArrows() {
  const sent = new Map();
  for (const [i, packet] of packets) {
    const key = `${packet.from} ${packet.to} ${packet.ordinal}`;
    if (packet.step === Step.SENT) {
      sent.set(key, {event: i, arrived: 0});
      if (packet.lost !== '') arrows.push({from: i, to: -1, lost: packet.lost, again: false});
      continue;
    }
    const start = sent.get(key);
    if (start === undefined) continue;
    const lost = packet.step === Step.LOST ? packet.lost || 'lost' : '';
    if (lost !== '' && packets.get(start.event).lost !== '') continue;  // It has been told where it was sent.
    arrows.push({from: start.event, to: i, lost, again: start.arrived++ > 0});
    arrived.add(i);
  }
}

let effectLists = null;
function effectsOf(index) {
  if (effectLists === null) {
    effectLists = new Map();
    for (let i = 0; i < count; i++) {
      if (causes[i] < 0) continue;
      const list = effectLists.get(causes[i]);
      if (list === undefined) effectLists.set(causes[i], [i]);
      else list.push(i);
    }
  }
  return effectLists.get(index) || [];
}

// The index of the event with this number, or -1.
function indexOf(number) {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] < number) low = middle + 1;
    else high = middle;
  }
  return low < count && numbers[low] === number ? low : -1;
}

// --- Lanes: the hosts, and the clients that are none of them ---------------------------------------------------------

// `column`: where it is shown, from the left; -1: it is not.
const lanes = hosts.map((name, i) => ({name, color: `--host-${i % 8}`, column: i}));
const bars = data.operations.map(([client, text, begin, end, bad]) => {
  const name = strings[client];
  let lane = lanes.findIndex((other) => other.name === name);
  if (lane < 0) lane = lanes.push({name, color: '--dim', column: lanes.length}) - 1;
  return {lane, text: strings[text], begin, end: end < 0 ? data.end : end, ended: end >= 0, bad: bad === 1};
});
const bands = data.bands.map(([begin, end, text, concerned, hits]) => {
  const all = concerned.length > 0 ? concerned : hosts.map((_, i) => i);
  return {begin, end, text, hits, lanes: all.sort((a, b) => a - b)};
});
// Of a run that crashed nobody knows what its faults have hit.
const hitsAreKnown = bands.some((band) => band.hits > 0);
const hasEffect = (band) => band.hits > 0 || !hitsAreKnown;

// --- Text ------------------------------------------------------------------------------------------------------------

const byId = (id) => document.getElementById(id);
function element(tag, className, text) {
  const result = document.createElement(tag);
  if (className) result.className = className;
  if (text !== undefined) result.textContent = text;
  return result;
}
const many = (n, what) => `${n.toLocaleString('en')} ${what}${n === 1 ? '' : 's'}`;
const hostName = (i) => (i >= 0 && i < hosts.length ? hosts[i] : '');
const oneLine = (text) => text.replace(/\s*\n\s*/g, ' \u23ce ');

// Seconds, as everywhere in Tandem.
const timeText = (ns) => `${Math.floor(ns / 1e9)}.${String(ns % 1e9).padStart(9, '0')}`;
function spanText(ns) {
  const [unit, name] = ns >= 1e9 ? [1e9, 's'] : ns >= 1e6 ? [1e6, 'ms'] : ns >= 1e3 ? [1e3, '\u00b5s'] : [1, 'ns'];
  return `${Number((ns / unit).toPrecision(3))} ${name}`;
}

// What happened, in two parts.
function verbOf(i) {
  switch (columns.source[i]) {
    case Source.LOG: return `logs ${textOf('verb', i)}`;
    case Source.NOTE: return '';
    case Source.FAILURE: return 'fails';
    default: return textOf('verb', i) || textOf('kind', i);
  }
}

// Of a packet: who else is concerned, what it carries and what becomes of it. The panel has the rest.
function packetText(packet) {
  const parts = [packet.step === Step.ARRIVES ? `from ${hostName(packet.from) || packet.source}`
                                              : `to ${hostName(packet.to) || packet.destination}`];
  parts.push(packet.size > 0 ? many(packet.size, 'byte') : [protocolOf(packet), ...flagsOf(packet)].join(' '));
  if (packet.lost !== '') parts.push(`lost: ${packet.lost}`);
  if (packet.again >= 0) parts.push('comes twice');
  const text = bytesOf(packet).map(printable).join('');
  return parts.join(', ') + (text === '' ? '' : `: ${text}${packet.size > text.length ? '\u2026' : ''}`);
}
const flagsOf = (packet) => ['SYN', 'ACK', 'FIN', 'RST'].filter((_, bit) => (packet.flags >> bit) & 1);
const protocolOf = (packet) => ['TCP', 'UDP', 'port unreachable'][packet.protocol];
const bytesOf = (packet) => Array.from(atob(packet.payload), (c) => c.charCodeAt(0));
const printable = (byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '\u00b7');

function objectOf(i) {
  const text = textOf('text', i);
  const known = text !== '' || columns.source[i] !== Source.TRACE || textOf('verb', i) !== '';
  return known ? text : `${columns.a[i]} ${columns.b[i]} ${columns.c[i]}`;
}
// In one line. The arrows show whose socket it is.
function shortOf(i) {
  if (packets.has(i)) return packetText(packets.get(i));
  return oneLine(objectOf(i)).replace(/(socket \d+) \([^()]* - [^()]*\)/g, '$1') || textOf('task', i);
}
const lineOf = (i) => `${hostName(columns.host[i])} ${verbOf(i)} ${shortOf(i)}`.trim();
