// SPDX-License-Identifier: Apache-2.0
//
// What is drawn on the canvases: the lanes with their arrows, bands, bars and marks, and the overview at the right.

// --- The graph ---

function prepareCanvas(canvas, width, height) {
  const scale = devicePixelRatio;
  const [w, h] = [Math.ceil(width * scale), Math.ceil(height * scale)];
  if (canvas.width !== w || canvas.height !== h) {
    [canvas.width, canvas.height] = [w, h];
    [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
  }
  const context = canvas.getContext('2d');
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

function drawGraph(top, height, first, last) {
  graph.style.marginLeft = `${left}px`;
  const width = lanesWidth();
  const context = prepareCanvas(graph, width, height);
  const yOf = (place) => place * rowHeight() - top;
  const labels = drawBands(context, yOf, height);
  context.lineWidth = 1;
  context.strokeStyle = colors.lane;
  context.beginPath();
  for (let column = 0; column < columnCount; column++) {
    const x = Math.round((column + 0.5) * laneWidth) + 0.5;
    context.moveTo(x, 0);
    context.lineTo(x, Math.min(height, yOf(rows.length)));
  }
  context.stroke();
  labels.push(...drawBars(context, yOf, height));
  labels.push(...drawArrows(context, yOf, first, last));
  drawMarks(context, yOf, first, last);
  drawLabels(context, labels);
}

const LINE_HEIGHT = 12;  // Of labels.

// A label that would lie on another goes down, and is left out where it would come below its `lowest`.
function drawLabels(context, labels) {
  const drawn = [];
  const texts = [];
  context.font = LABEL_FONT;
  context.textBaseline = 'middle';
  context.lineWidth = 4;
  context.lineJoin = 'round';
  context.strokeStyle = colors.paper;
  for (const label of labels) {
    label.text = cutText(context, label.text, Math.max(lanesWidth() - label.x, 60));
    const size = context.measureText(label.text).width;
    if (label.toLeft) label.x = Math.max(label.x - size, 0);
    const end = label.x + size;
    const isOn = (other) => label.x < other.end && other.x < end && Math.abs(label.y - other.y) < LINE_HEIGHT;
    label.y = Math.round(label.y);  // Whole numbers: 12 below another is never less than that by a fraction.
    let other = drawn.find(isOn);
    while (other !== undefined && label.y <= label.lowest) {
      label.y = other.y + LINE_HEIGHT;
      other = drawn.find(isOn);
    }
    if (label.y > label.lowest) continue;
    drawn.push({x: label.x, end, y: label.y});
    texts.push(label.text);
    context.strokeText(label.text, label.x, label.y);  // A rim, so that it can be read on lines.
    context.fillStyle = label.color;
    context.fillText(label.text, label.x, label.y);
  }
  graph.setAttribute('aria-label', texts.join('\n'));  // For who cannot see it.
}

// What fits into `size` pixels.
function cutText(context, text, size) {
  if (context.measureText(text).width <= size) return text;
  let length = text.length;
  while (length > 1 && context.measureText(`${text.slice(0, length)}\u2026`).width > size) length--;
  return `${text.slice(0, length)}\u2026`;
}

// These and the next return their labels, which go on top.
function drawBands(context, yOf, height) {
  const labels = [];
  const areas = new Path2D();  // Filled together, so that two on top of each other are not darker.
  const edges = new Path2D();
  for (const band of bands) {
    const y = yOf(band.top);
    const bottom = Math.max(yOf(band.bottom), y + 2);
    if (!isBandShown(band) || bottom < 0 || y > height) continue;
    const concerned = band.lanes.filter(isLaneShown);
    if (concerned.length === 0) continue;
    for (const lane of concerned) {
      areas.rect(laneLeft(lane), y, laneWidth, bottom - y);
      edges.rect(laneLeft(lane), y, laneWidth, 1);
      edges.rect(laneLeft(lane), bottom - 1, laneWidth, 1);
    }
    const text = band.text + (hasEffect(band) ? '' : ' (no effect)');
    const lines = y < 0 ? 1 : 4;  // Below each other; of those that began above, few, so that what is here shows.
    const lowest = Math.min(bottom - 4, Math.max(y, 0) + 9 + lines * LINE_HEIGHT);
    labels.push({text, x: laneLeft(concerned[0]) + 3, y: Math.max(y, 0) + 9, lowest, color: colors.fault});
  }
  context.fillStyle = colors['fault-paper'];
  context.fill(areas);
  context.fillStyle = colors.fault;
  context.globalAlpha = 0.5;
  context.fill(edges);
  context.globalAlpha = 1;
  return labels;
}

const isBandShown = (band) => !band.folded && (details || hasEffect(band));

function drawBars(context, yOf, height) {
  const labels = [];
  for (const bar of bars) {
    const y = yOf(bar.top);
    const bottom = Math.max(yOf(bar.bottom), y + 2);
    if (bar.folded || !isLaneShown(bar.lane) || bottom < 0 || y > height) continue;
    const x = laneX(bar.lane) - barWidth() / 2;
    const color = bar.bad ? colors.bad : colors.operation;
    context.fillStyle = context.strokeStyle = color;
    context.lineWidth = 1;
    context.beginPath();
    context.roundRect(x + 0.5, y + 1, barWidth() - 1, Math.max(bottom - y - 2, 1), 4);
    context.globalAlpha = 0.28;
    context.fill();
    context.globalAlpha = 0.9;
    context.setLineDash(bar.ended ? [] : [3, 3]);
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
    const labelY = Math.max(y, 2) + 8;
    labels.push(barLabel(context, bar, labelY, Math.max(bottom - 4, y < 0 ? 0 : labelY)));  // Also of a short one.
  }
  return labels;
}

// To the right of the bar, or to its left where there is no room.
function barLabel(context, bar, y, lowest) {
  const text = bar.text + (bar.ended ? '' : ' \u2026');
  context.font = LABEL_FONT;
  const size = context.measureText(text).width;
  const out = barWidth() / 2 + 4;
  const right = laneX(bar.lane) + out;
  const x = right + size <= lanesWidth() ? right : laneX(bar.lane) - out - size;
  return {text, x, y, lowest, color: bar.bad ? colors.bad : colors.dim};
}

function drawArrows(context, yOf, first, last) {
  const middle = (i) => yOf(rowOf[i] + 0.5);
  // The important ones last, on top.
  const passes = [[], [], []];
  const strengthOf = ({from, to}) => {
    if (to >= 0 && chain.has(to) && chain.has(from)) return 2;
    return inSlice[from] === 1 && (to < 0 || inSlice[to] === 1) ? 1 : 0;
  };
  for (const arrow of arrows) {
    const fromRow = rowOf[arrow.from];
    const toRow = arrow.to < 0 ? fromRow : rowOf[arrow.to];
    if (toRow < first || fromRow > last) continue;
    const visible = isShown[arrow.from] === 1 || (arrow.to >= 0 && isShown[arrow.to] === 1);
    if (visible && (fromRow !== toRow || arrow.to < 0)) passes[strengthOf(arrow)].push(arrow);
  }
  for (const to of rows) {
    if (to < 0 || origins[to] < 0 || arrived.has(to)) continue;
    const link = {from: origins[to], to, lost: '', again: false};
    if (rowOf[to] >= first && rowOf[link.from] <= last) passes[strengthOf(link)].push(link);
  }
  const labels = [];
  passes.forEach((list, strength) => {
    for (const arrow of list) {
      const from = laneOf(arrow.from);
      const to = arrow.lost === '' ? laneOf(arrow.to) : packets.get(arrow.from).to;
      if (!isLaneShown(from) || (to < 0 && arrow.lost === '') || (to >= 0 && !isLaneShown(to))) continue;
      context.strokeStyle = context.fillStyle = strength === 2 ? colors.path : colors.arrow;
      context.lineWidth = strength === 2 ? 2 : strength === 1 ? 1.4 : 1;
      context.globalAlpha = strength === 0 ? 0.6 : 1;
      context.setLineDash(arrow.again ? [4, 3] : []);
      const fromY = middle(arrow.from);
      if (arrow.lost !== '') {
        const toX = to >= 0 ? laneX(to) : laneX(from) + laneWidth;
        const toY = arrow.to >= 0 ? middle(arrow.to) : fromY + Math.min(rowHeight() * 0.75, 20);
        labels.push(drawLost(context, arrow.lost, laneX(from), toX, fromY, toY));
      } else if (!arrived.has(arrow.to)) {
        drawCause(context, from, to, fromY, middle(arrow.to), strength);
      } else {
        drawMessage(context, laneX(from), laneX(to), fromY, middle(arrow.to), from === to);
      }
      context.globalAlpha = 1;
      context.setLineDash([]);
    }
  });
  return rowHeight() < TEXT_FROM ? [] : labels;
}

function drawMessage(context, x1, x2, y1, y2, toItself) {
  context.beginPath();
  context.moveTo(x1, y1);
  let angle = Math.atan2(y2 - y1, x2 - x1);
  if (toItself) {
    const out = laneWidth * 0.3;
    context.bezierCurveTo(x1 + out, y1, x2 + out, y2, x2 + 4, y2);
    angle = Math.PI;
  } else {
    context.lineTo(x2 - 5 * Math.cos(angle), y2 - 5 * Math.sin(angle));
  }
  context.stroke();
  const [tipX, tipY] = toItself ? [x2 + 4, y2] : [x2 - 4 * Math.cos(angle), y2 - 4 * Math.sin(angle)];
  context.beginPath();
  context.moveTo(tipX, tipY);
  for (const side of [angle - 0.42, angle + 0.42]) context.lineTo(tipX - 8 * Math.cos(side), tipY - 8 * Math.sin(side));
  context.fill();
}

// Ends on the way, with a cross. Returns its label.
function drawLost(context, why, x1, x2, y1, y2) {
  const part = 0.62;
  const [x, y] = [x1 + (x2 - x1) * part, y1 + (y2 - y1) * part];
  context.strokeStyle = colors.bad;
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x, y);
  context.stroke();
  context.lineWidth = 2;
  context.beginPath();
  const size = Math.min(4.5, rowHeight() / 3);
  for (const side of [-1, 1]) {
    context.moveTo(x - size, y - side * size);
    context.lineTo(x + size, y + side * size);
  }
  context.stroke();
  const toLeft = x2 < x1;
  return {text: why, x: toLeft ? x - 9 : x + 9, y, toLeft, lowest: y + rowHeight(), color: colors.bad};
}

// What is brought about without a packet: along the lane, or dotted from one to another.
function drawCause(context, from, to, y1, y2, strength) {
  if (from !== to) context.setLineDash([1, 3]);
  if (from === to && strength === 0) return;
  context.lineWidth = from === to ? 3 : context.lineWidth;
  context.beginPath();
  context.moveTo(laneX(from), y1);
  context.lineTo(laneX(to), y2);
  context.stroke();
}

function drawMarks(context, yOf, first, last) {
  for (let row = first; row <= last; row++) {
    const i = rows[row];
    if (i < 0) {
      drawFoldMark(context, yOf(row));
      continue;
    }
    const lane = laneOf(i);
    if (!isLaneShown(lane)) continue;
    const [x, y] = [laneX(lane), yOf(row + 0.5)];
    const size = Math.min(inSlice[i] === 1 ? 4.5 : 3.5, Math.max(rowHeight() / 2.4, 1.2));
    drawMark(context, i, x, y, size, lanes[lane].rgb);
    if (i === selected) {
      context.strokeStyle = colors.path;
      context.lineWidth = 2;
      context.beginPath();
      context.arc(x, y, size + 4, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}

function drawMark(context, i, x, y, size, color) {
  const source = columns.source[i];
  context.fillStyle = color;
  context.beginPath();
  if (source === Source.FAILURE) {
    const large = Math.min(size * 1.9, rowHeight() / 2);
    context.fillStyle = colors.bad;
    for (let k = 0; k < 16; k++) {
      const radius = k % 2 === 0 ? large : large * 0.55;
      context.lineTo(x + radius * Math.sin((k * Math.PI) / 8), y - radius * Math.cos((k * Math.PI) / 8));
    }
    context.fill();
  } else if (source === Source.LOG) {
    const severity = textOf('verb', i);
    if (severity === 'W') context.fillStyle = colors.fault;
    if (severity === 'E' || severity === 'F') context.fillStyle = colors.bad;
    context.rect(x - size * 0.9, y - size * 0.9, 1.8 * size, 1.8 * size);
    context.fill();
  } else if (isDetail[i] === 1) {
    context.arc(x, y, size * 0.7, 0, 2 * Math.PI);
    context.fillStyle = colors.paper;
    context.fill();
    context.lineWidth = 1.2;
    context.strokeStyle = color;
    context.stroke();
  } else {
    context.arc(x, y, size, 0, 2 * Math.PI);
    context.fill();
  }
}

// The lanes are torn where something is left out.
function drawFoldMark(context, y) {
  const height = rowHeight();
  if (height < TEXT_FROM) return;
  context.lineWidth = 3;
  context.strokeStyle = colors.paper;
  context.setLineDash([2, 2]);
  context.beginPath();
  for (let column = 0; column < columnCount; column++) {
    const x = (column + 0.5) * laneWidth;
    context.moveTo(x, y + 2);
    context.lineTo(x, y + height - 2);
  }
  context.stroke();
  context.setLineDash([]);
}

// --- The overview: all rows in the height of the window ---

function drawOverview(top, height) {
  const width = 14;
  const context = prepareCanvas(overview, width, height);
  const total = Math.max(rows.length, 1);
  const yOf = (row) => (row / total) * height;
  const mark = (color, row, x, size, least) => {
    context.fillStyle = color;
    const thick = Math.min(Math.max(height / total, least), 3);
    context.fillRect(x, Math.min(yOf(row), height - thick), size, thick);
  };
  context.fillStyle = colors.fault;
  context.globalAlpha = 0.35;
  for (const band of bands) {
    const size = Math.max(yOf(band.bottom) - yOf(band.top), 1);
    if (details || hasEffect(band)) context.fillRect(0, yOf(band.top), 4, size);
  }
  context.globalAlpha = 1;
  for (let row = 0; row < rows.length; row++) {
    const i = rows[row];
    if (i < 0) continue;
    if (isMatch[i] === 1) mark(colors.ink, row, 9, 5, 1.5);
    if (inSlice[i] === 1 && i !== lastOfSlice) mark(colors.path, row, 4, 5, 1.5);
  }
  if (lastOfSlice >= 0) mark(colors.bad, rowOf[lastOfSlice], 4, 10, 3);
  const all = total * rowHeight();
  if (all <= height) return;
  const extent = Math.max((height / all) * height, 6);
  context.strokeStyle = colors.dim;
  context.lineWidth = 1;
  context.strokeRect(0.5, Math.min((top / all) * height, height - extent) + 0.5, width - 1, extent - 1);
}
