"use strict";
// Asks the daemon once a second, and shows what it says. Rates are differences to the answer before.

const PERIOD_MS = 1000;
const ROWS_MAX = 500;

const $ = id => document.getElementById(id);
let before = null;

function element(tag, text, ...classes) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  made.classList.add(...classes.filter(Boolean));
  return made;
}

function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  while (count >= 1024 && unit + 1 < units.length) { count /= 1024; ++unit; }
  return `${unit === 0 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`;
}

const rate = perSecond => perSecond === null ? "–" : `${bytes(perSecond)}/s`;
const total = of => of.tcp + of.provider;
const onProvider = c => c.reason === null;
const nameOf = c => `${c.pid} ${c.local} ${c.peer}`;

function fill(table, columns, rows) {
  const head = element("tr");
  for (const column of columns) head.append(element("th", column.title, column.number && "number"));
  table.tHead.replaceChildren(head);
  table.caption?.remove();
  if (rows.length === 0) table.createCaption().textContent = "None.";
  table.tBodies[0].replaceChildren(...rows.map(row => {
    const line = element("tr");
    for (const column of columns) {
      const value = column.of(row);
      const cell = element("td", undefined, column.number && "number", column.style && column.style(row));
      cell.append(value instanceof Node ? value : String(value));
      line.append(cell);
    }
    return line;
  }));
}

function buffers(held, most, full) {
  const whole = element("span");
  const meter = element("meter");
  Object.assign(meter, { min: 0, max: most || 1, value: held, high: (most || 1) * 0.8 });
  whole.append(meter, ` ${held}/${most}`);
  if (full > 0) whole.append(element("span", `, full ${full.toLocaleString("en")} times`, "short"));
  return whole;
}

function withRates(status, at) {
  const known = new Map(before === null ? [] : before.connections.map(c => [nameOf(c), c]));
  const seconds = before === null ? 0 : (at - before.at) / 1000;
  for (const c of status.connections) {
    const old = c.local === null ? undefined : known.get(nameOf(c));  // without an address it may be any
    const difference = key => old === undefined ? null : Math.max(0, total(c[key]) - total(old[key])) / seconds;
    c.sends = difference("bytes_sent");
    c.receives = difference("bytes_received");
  }
  before = { at, connections: status.connections };
}

function groups(connections, keyOf) {
  const found = new Map();
  for (const c of connections) {
    const key = keyOf(c);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(c);
  }
  return [...found].map(([key, members]) => ({ key, members }));
}

const sum = (members, of) => members.reduce((all, c) => all + (of(c) ?? 0), 0);

function showCards(status) {
  const moved = status.connections.filter(onProvider).length;
  const cards = [
    [status.connections.length, status.connections.length === 1 ? "end of a connection" : "ends of connections"],
    [moved, "on a provider", "provider"],
    [status.connections.length - moved, "on TCP", "tcp"],
    [status.processes.length, status.processes.length === 1 ? "process" : "processes"],
    [rate(sum(status.connections, c => c.sends)), "sent"],
  ];
  $("cards").replaceChildren(...cards.map(([value, label, style]) => {
    const card = element("div", undefined, "card");
    card.append(element("b", value, style), element("span", label));
    return card;
  }));
}

function showPrograms(status) {
  const rows = groups(status.connections, c => c.program).sort((a, b) => a.key.localeCompare(b.key));
  fill($("programs"), [
    { title: "Program", of: r => r.key },
    { title: "Connections", number: true, of: r => r.members.length },
    { title: "On a provider", number: true, of: r => r.members.filter(onProvider).length, style: () => "provider" },
    { title: "On TCP", number: true, of: r => r.members.filter(c => !onProvider(c)).length, style: () => "tcp" },
    { title: "Sends", number: true, of: r => rate(sum(r.members, c => c.sends)) },
    { title: "Receives", number: true, of: r => rate(sum(r.members, c => c.receives)) },
    { title: "Bytes by a provider", number: true, of: r => {
      const provider = sum(r.members, c => c.bytes_sent.provider + c.bytes_received.provider);
      const all = sum(r.members, c => total(c.bytes_sent) + total(c.bytes_received));
      return all === 0 ? "–" : `${(100 * provider / all).toFixed(1)} %`;
    } },
    { title: "Send buffers", of: r => buffers(sum(r.members, c => c.buffers.held), sum(r.members, c => c.buffers.max), sum(r.members, c => c.buffers.full)) },
  ], rows);
}

function showReasons(status) {
  const rows = groups(status.connections.filter(c => !onProvider(c)), c => `${c.reason}\n${c.program}`)
    .sort((a, b) => b.members.length - a.members.length);
  fill($("reasons"), [
    { title: "Reason", of: r => r.members[0].reason, style: () => "tcp" },
    { title: "Program", of: r => r.members[0].program },
    { title: "Connections", number: true, of: r => r.members.length },
    { title: "What to change", of: r => `sansock explain ${r.members[0].peer ?? r.members[0].program}` },
  ], rows);
}

function showConnections(status) {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = c => `${c.program} ${c.pid} ${c.role} ${c.local} ${c.peer} ${c.path} ${c.reason ?? ""} ${c.detail ?? ""}`.toLowerCase();
  const rows = status.connections.filter(c => words.every(word => text(c).includes(word)))
    .sort((a, b) => a.program.localeCompare(b.program) || a.pid - b.pid || nameOf(a).localeCompare(nameOf(b), undefined, { numeric: true }));
  $("shown").textContent = rows.length > ROWS_MAX ? `the first ${ROWS_MAX} of ${rows.length}` : `${rows.length} of ${status.connections.length}`;
  fill($("connections"), [
    { title: "Program", of: c => c.program },
    { title: "PID", number: true, of: c => c.pid },
    { title: "Role", of: c => c.role },
    { title: "Local", of: c => c.local ?? "–" },
    { title: "Peer", of: c => c.peer ?? "–" },
    { title: "Path", of: c => c.path, style: c => onProvider(c) ? "provider" : "tcp" },
    { title: "Sends", number: true, of: c => rate(c.sends) },
    { title: "Receives", number: true, of: c => rate(c.receives) },
    { title: "Kept", number: true, of: c => c.window > 0 ? bytes(c.kept) : "–" },
    { title: "Send buffers", of: c => c.window > 0 ? buffers(c.buffers.held, c.buffers.max, c.buffers.full) : "–" },
    { title: "Why on TCP", of: c => c.detail === null ? c.reason ?? "" : `${c.reason} (${c.detail})`, style: () => "why" },
  ], rows.slice(0, ROWS_MAX));
}

let last = null;

function show() {
  if (last === null) return;
  showCards(last);
  showPrograms(last);
  showReasons(last);
  showConnections(last);
}

async function ask() {
  try {
    const response = await fetch("status.json");
    if (!response.ok) throw new Error(`the daemon answers ${response.status}`);
    last = await response.json();
    withRates(last, performance.now());
    $("about").textContent = `sansockd ${last.version}, ${new Date().toLocaleTimeString()}`;
    $("about").classList.remove("stale");
    show();
  } catch (error) {
    $("about").textContent = `No answer from the daemon (${error.message}); what is shown is old.`;
    $("about").classList.add("stale");
  }
  setTimeout(ask, PERIOD_MS);
}

$("filter").addEventListener("input", show);
ask();
