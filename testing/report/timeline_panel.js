// SPDX-License-Identifier: Apache-2.0
//
// The panel at the side: all that is known of the selected event, and what failed, above everything.

const LINKS_MAX = 40;
const panel = byId('panel');

function fillPanel() {
  panel.hidden = selected < 0;
  if (selected < 0) return;
  const i = selected;
  const title = element('header');
  const close = element('button', '', 'Close');
  close.type = 'button';
  close.id = 'close';
  close.addEventListener('click', deselect);
  title.append(element('b', '', `#${numbers[i]}  ${verbOf(i) || 'note'}`), close);
  const parts = [title, element('pre', '', objectOf(i) || verbOf(i)), fieldList(fieldsOf(i))];
  const packet = packets.get(i);
  if (packet !== undefined && packet.size > 0) parts.push(...payloadParts(packet));
  parts.push(element('h2', '', 'Because of'), links(reasonsOf(i), 'Nothing before it that is known.'));
  parts.push(element('h2', '', 'Led to'), links(shownEffectsOf(i), 'Nothing.'));
  parts.push(keys());
  panel.replaceChildren(...parts);
}

// Its cause, the cause of that and so on; of a failure that has no cause, what led to it.
function reasonsOf(i) {
  const reasons = [...chain].slice(1);
  const all = reasons.length > 0 || i !== lastOfSlice ? reasons : data.slice.slice(0, -1).reverse();
  return all.filter(counts);
}

function fieldsOf(i) {
  const host = hostName(columns.host[i]);
  const id = textOf('task_id', i);
  const fields = [
    ['time', `${timeText(times[i])} s`],
    ['host', host || 'none'],
    ['task', `${textOf('task', i)}${id === '' ? '' : ` (task ${id})`}`.trim()],
    ['place', textOf('place', i)],
    ['socket', columns.socket[i] >= 0 ? String(columns.socket[i]) : ''],
    ['connection', textOf('connection', i)],
  ];
  const packet = packets.get(i);
  if (packet !== undefined) fields.push(...packetFields(packet));
  if (textOf('kind', i) !== '') {
    fields.push(['record', `${textOf('kind', i)} ${columns.a[i]} ${columns.b[i]} ${columns.c[i]}`]);
  }
  return fields.filter(([, value]) => value !== '');
}

function packetFields(packet) {
  const fields = [
    ['packet', `#${packet.ordinal} of ${hostName(packet.from) || '?'} to ${hostName(packet.to) || '?'}`],
    ['protocol', [protocolOf(packet), ...flagsOf(packet)].join(' ')],
    ['from', packet.source],
    ['to', packet.destination],
  ];
  if (packet.protocol === 0) {
    fields.push(['sequence', String(packet.sequence)], ['acknowledges', String(packet.acknowledgement)],
                ['window', String(packet.window)]);
  }
  if (packet.step === Step.SENT) {
    fields.push(['lost', packet.lost], ['arrives', packet.arrival < 0 ? '' : `${timeText(packet.arrival)} s`],
                ['and again', packet.again < 0 ? '' : `${timeText(packet.again)} s`]);
  }
  return fields;
}

function fieldList(fields) {
  const list = element('dl');
  for (const [name, value] of fields) list.append(element('dt', '', name), element('dd', '', value));
  return list;
}

function payloadParts(packet) {
  const bytes = bytesOf(packet);
  const lines = [];
  for (let at = 0; at < bytes.length; at += 8) {
    const part = bytes.slice(at, at + 8);
    const hex = part.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    lines.push(`${at.toString(16).padStart(4, '0')}  ${hex.padEnd(23)}  ${part.map(printable).join('')}`);
  }
  const cut = bytes.length < packet.size ? `, the first ${bytes.length} of them` : '';
  return [element('h2', '', `Payload: ${many(packet.size, 'byte')}${cut}`), element('pre', '', lines.join('\n'))];
}

function links(indices, none) {
  if (indices.length === 0) return element('div', 'none', none);
  const box = element('div', 'events');
  for (const i of indices.slice(0, LINKS_MAX)) {
    const link = element('a');
    link.href = `#e${numbers[i]}`;
    link.title = lineOf(i);
    link.append(element('i', '', `#${numbers[i]}`), ` ${lineOf(i)}`);
    box.append(link);
  }
  const rest = indices.length - LINKS_MAX;
  if (rest > 0) box.append(element('div', 'none', `and ${many(rest, 'other')}`));
  return box;
}

function keys() {
  const box = element('div', 'keys');
  const all = [['\u2190', 'cause'], ['\u2192', 'effect'], ['\u2191 \u2193', 'rows'], ['/', 'search'],
               ['n N', 'matches'], ['a', 'all'], ['d', 'details'], ['f', 'failure'], ['+ -', 'zoom'], ['Esc', 'close']];
  for (const [key, what] of all) box.append(element('kbd', '', key), ` ${what}  `);
  return box;
}

// --- What failed ---

function fillSummary() {
  document.title = `${data.test} fails, seed ${data.seed}`;
  const when = failureIndex >= 0 ? ` at ${timeText(times[failureIndex])} s` : '';
  const verdict = byId('verdict');
  verdict.append(element('b', '', data.test), ' ', element('span', 'failed', 'fails'), ' ',
                 element('span', 'seed', `with seed ${data.seed}${when}`));
  const texts = {place: data.place, message: data.message, sentences: data.sentences.trim(),
                 scenario: data.scenario.trim(), replay: data.replay, passing: data.passing, beside: data.beside.trimEnd(),
                 digest: data.digest === '' ? '' : `digest ${data.digest}`};
  for (const [id, text] of Object.entries(texts)) {
    byId(id).textContent = text;
    byId(id).hidden = text === '';
  }
  byId('nearest').hidden = data.passing === '';
  byId('takes').hidden = data.sentences === '' && data.scenario === '';
  const story = data.slice.filter((i) => isDetail[i] === 0).length;
  byId('fold').textContent = `What led to it (${story.toLocaleString('en')})`;
  byId('unfold').textContent = `Everything (${count.toLocaleString('en')})`;
  byId('details-label').textContent = `Details (${isDetail.reduce((sum, one) => sum + one, 0).toLocaleString('en')})`;
  byId('failure').disabled = lastOfSlice < 0;
  if (count === 0) rowBox.append(element('p', 'nothing', 'No event was recorded.'));
  const leftOut = `${many(data.left_out, 'event')} left out, to keep the page small`;
  byId('left-out').textContent = data.left_out > 0 ? leftOut : '';
}

function copyReplay() {
  const range = document.createRange();
  range.selectNodeContents(byId('replay'));
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  const done = document.execCommand('copy');  // The Clipboard API is not there for every page from a disk.
  byId('copy').textContent = done ? 'Copied' : 'Press Ctrl-C';
}
