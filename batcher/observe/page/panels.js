/* Each panel from the view; nothing here asks the network. */

function drawHead(view) {
  const { summary, live } = view;
  const [state, tone] = stateOf(view);
  byId("title").textContent = `veetro-batch${summary.endpoint ? ` to ${summary.endpoint}` : ""}`;
  document.title = `${state} – veetro-batch`;
  byId("state").textContent = state;
  byId("state").style.color = `var(--${tone})`;
  const facts = [
    `${plural(summary.records, "record")}${summary.resumed ? `, ${number(summary.resumed)} of them by earlier runs` : ""}`,
    `began ${clock(Date.parse(summary.started) / 1000, true)}`,
    `${span(summary.seconds)} long`,
    live ? `${number(live.rate)} a second` : `${number(summary.records_per_second)} a second`,
  ];
  if (live && live.seconds_left !== null) facts.push(`about ${span(live.seconds_left)} left`);
  byId("facts").textContent = facts.join(" · ");
  const bar = byId("bar"), share = live ? live.share_done : null;
  bar.hidden = share === null;
  if (share !== null) {
    bar.setAttribute("aria-valuenow", (100 * share).toFixed(2));
    bar.setAttribute("aria-valuetext", `${percent(share, 1)} done`);
    bar.firstElementChild.style.width = `${100 * share}%`;
    byId("facts").textContent = `${percent(share, 1)} done · ${byId("facts").textContent}`;
  }
  const alarms = live ? live.pauses.map((pause) => `Paused for ${span(pause.seconds)} (${pause.reason}): ${pause.detail}`) : [];
  if (live && live.draining) alarms.push(`Draining: ${live.draining}`);
  if (!live && summary.reason) alarms.push(summary.reason);
  byId("alarms").replaceChildren(...alarms.map((text) => make("li", {}, text)));
}

function stateOf({ summary, live, ending }) {
  if (live && live.draining) return ["draining", "in_doubt"];
  if (live && live.pauses.length) return ["paused", "in_doubt"];
  if (live) return ["running", "accent"];
  if (summary.exit_code === null) return ["as the ledger has it", "faint"];
  return [`${ending} (exit ${summary.exit_code})`, summary.exit_code === 0 ? "delivered" : "rejected"];
}

function drawOutcomes({ summary, live }) {
  const tiles = OUTCOMES.map(([name, text, shape]) =>
    make("li", { class: name, "data-outcome": name },
      make("span", { class: "shape", "aria-hidden": "true" }, shape), ` ${text}`,
      make("span", { class: "value" }, number(summary.outcomes[name])),
      make("span", { class: "share" }, summary.outcomes[name] ? percent(summary.outcomes[name], summary.records) : "none")));
  if (live) {
    tiles.push(tile("in flight", live.in_flight, `of ${number(live.limit)} allowed`));
    tiles.push(tile("waiting", live.waiting, "read, not ended"));
  }
  byId("outcomes").replaceChildren(...tiles);
}

function tile(text, value, more) {
  return make("li", {}, text, make("span", { class: "value" }, number(value)), make("span", { class: "share" }, more));
}

const VERDICTS = { // colour and dashes of attempts that were not accepted
  refused: ["rejected", []], faulted: ["in_doubt", [8, 4]], throttled: ["sky", [2, 3]], no_session: ["invalid", [10, 3, 2, 3]],
  misdirected: ["unsent", []], not_sent: ["ink", [4, 6]], uncertain: ["accent", [6, 2]],
};

function drawCharts(view) {
  const { summary, timeline } = view, times = new Times(timeline, view.rows);
  if (!times.x.length) {
    for (const id of ["rate", "duration", "concurrency", "trouble"]) emptyChart(id, "Nothing has been recorded over time.");
    return;
  }
  const ended = OUTCOMES.filter(([name]) => name === "delivered" || `outcome.${name}` in times.columns);
  chart("rate", times, {
    series: ended.map(([name, text, shape, dash]) => [
      `${shape} ${text}`, colour(name), dash, times.rate(`outcome.${name}`), name === "delivered" ? `${colour(name)}22` : undefined]),
    show: number,
    told: `Records a second by outcome: ${number(summary.records_per_second)} on the average.`,
  });
  if (times.heat.some((cells) => cells.length)) {
    const { p50, p99 } = summary.request_seconds;
    chart("duration", times, {
      series: [
        ["p50", colour("ink"), [], times.percentile(0.5)],
        ["p95", colour("in_doubt"), [8, 4], times.percentile(0.95)],
        ["p99", colour("rejected"), [2, 3], times.percentile(0.99)],
      ],
      show: duration, log: true, draw: drawHeat,
      told: `Request durations: half within ${duration(p50)}, 99 of 100 within ${duration(p99)}.`,
    });
  } else emptyChart("duration", "No request has been recorded over time.");
  const limits = times.mean("limit");
  chart("concurrency", times, {
    series: [
      ["in flight", colour("accent"), [], times.mean("in_flight"), `${colour("accent")}33`],
      ["limit", colour("rejected"), [8, 4], limits],
    ],
    show: number, step: true,
    told: `Requests in flight and their limit, which was ${number(limits.at(-1))} at last.`,
  });
  const bad = times.names("attempt").filter((verdict) => verdict !== "accepted");
  if (bad.length) {
    chart("trouble", times, {
      series: bad.map((verdict) => [words(verdict), colour(VERDICTS[verdict][0]), VERDICTS[verdict][1], times.rate(`attempt.${verdict}`)]),
      show: number,
      told: `Attempts that were not accepted: ${bad.map((verdict) => `${words(verdict)} ${number(summary.attempts[verdict])}`).join(", ")}.`,
    });
  } else emptyChart("trouble", "None.");
}

const SHADES = ["accent", "delivered", "in_doubt", "rejected", "invalid", "sky", "unsent", "ink"];

function drawSlots({ timeline, spent: told }) {
  const spent = Object.entries(timeline.columns).filter(([name]) => name.startsWith("slots."))
    .map(([name, values]) => [name.slice(6), values.reduce((sum, value) => sum + value, 0)]).filter(([, seconds]) => seconds > 0);
  const total = spent.reduce((sum, [, seconds]) => sum + seconds, 0);
  byId("slots-section").hidden = !total;
  byId("spent").textContent = told;
  const bars = spent.map(([, seconds], index) => {
    const bar = make("div");
    bar.style.width = `${(100 * seconds) / total}%`;
    bar.style.background = `var(--${SHADES[index % SHADES.length]})`;
    return bar;
  });
  byId("slots").replaceChildren(...bars);
  byId("slots").setAttribute("aria-label", spent.map(([state, seconds]) => `${words(state)} ${percent(seconds, total)}`).join(", "));
  byId("slots-key").replaceChildren(...spent.map(([state, seconds], index) => {
    const shape = make("span", { "aria-hidden": "true" }, "■");
    shape.style.color = `var(--${SHADES[index % SHADES.length]})`;
    return make("li", {}, shape, ` ${words(state)} ${percent(seconds, total)}`);
  }));
}

function drawProblems({ summary }) {
  const problems = summary.problems.map((problem) => {
    const met = [problem.records ? plural(problem.records, "record") : "", problem.attempts ? plural(problem.attempts, "attempt") : ""];
    const where = `line ${number(problem.line)}${problem.input ? ` of ${problem.input}` : ""}`;
    const item = make("div", { class: "problem" },
      make("p", {}, make("strong", {}, words(problem.kind)), ` – ${met.filter(Boolean).join(", ")}`),
      problem.fingerprint === problem.example ? "" : make("p", { class: "said" }, problem.fingerprint),
      make("p", {}, `For example ${where}: `, make("span", { class: "said" }, problem.example)));
    if (problem.record) item.append(make("details", {}, make("summary", {}, `The record of ${where}`), make("pre", {}, problem.record)));
    return item;
  });
  keep("problems", problems.length ? problems : [none()], summary.problems);
}

function drawDoubt({ summary, doubtful }) {
  const count = summary.outcomes.in_doubt, inputs = new Map();
  byId("doubt-section").hidden = !count;
  for (const [line, input] of doubtful) inputs.set(input, [...(inputs.get(input) || []), line]);
  const places = [...inputs].map(([input, lines]) => `lines ${ranges(lines)}${input ? ` of ${input}` : ""}`);
  const more = count > doubtful.length ? `, and ${number(count - doubtful.length)} more, which the results name` : "";
  byId("doubt").textContent = `${plural(count, "record")} may have been applied, or not: ${places.join("; ")}${more}.`;
}

function ranges(lines) {
  const found = [];
  for (const line of [...lines].sort((a, b) => a - b)) {
    const last = found.at(-1);
    if (last && line <= last[1] + 1) last[1] = line;
    else found.push([line, line]);
  }
  return found.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`)).join(", ");
}

function table(head, rows) {
  const cells = (tag, row) => row.map((text, index) => make(tag, index ? { class: "number" } : {}, text));
  const body = make("tbody", {}, ...rows.map((row) => make("tr", {}, ...cells("td", row))));
  return head ? make("table", {}, make("thead", {}, make("tr", {}, ...cells("th", head))), body) : make("table", {}, body);
}

function none() {
  return make("p", { class: "none" }, "None.");
}

function counted(id, values) {
  const rows = Object.entries(values).filter(([name, count]) => name !== "total" && count);
  byId(id).replaceChildren(rows.length ? table(null, rows.map(([name, count]) => [words(name), number(count)])) : none());
}

function drawTables({ summary, timeline }) {
  const row = (name, values) => [name, ...["p50", "p95", "p99", "largest"].map((column) => duration(values[column]))];
  byId("percentiles").replaceChildren(table(["", "p50", "p95", "p99", "longest"],
    [row("request", summary.request_seconds), row("read to result", summary.record_seconds)]));
  counted("attempts", summary.attempts);
  counted("http", summary.http);
  counted("retries", summary.retries);
  const sum = (name) => (timeline.columns[name] || []).reduce((total, value) => total + value, 0);
  byId("traffic").replaceChildren(table(null, [["read", bytes(summary.input.bytes)], ["sent", bytes(sum("request_bytes"))],
    ["received", bytes(sum("response_bytes"))]]));
}

function drawShards({ shards }) {
  byId("shards-section").hidden = !shards.length;
  const rows = shards.map((shard) => [shard.shard, number(shard.records), ...OUTCOMES.map(([name]) => number(shard.outcomes[name])),
    number(shard.attempts), ...["p50", "p95", "p99"].map((share) => duration(shard.request_seconds[share])),
    number(shard.records_per_second), span(shard.seconds), shard.exit_code === null ? "–" : shard.exit_code, shard.ledger]);
  byId("shards").replaceChildren(table(["shard", "records", ...OUTCOMES.map(([, text]) => text), "attempts", "request p50", "p95", "p99",
    "a second", "time", "exit", "ledger"], rows));
}

function drawMarks({ timeline }) {
  const rows = grouped(timeline.marks).map(({ at, kind, text, times, until }) => make("tr", {},
    make("td", {}, clock(at, true)), make("td", {}, words(kind)),
    make("td", {}, times > 1 ? `${text} – ${number(times)} times until ${clock(until, true)}` : text)));
  const left = timeline.marks_left_out ? [make("p", { class: "hint" }, `${number(timeline.marks_left_out)} in between are left out.`)] : [];
  keep("marks", rows.length ? [make("table", {}, make("tbody", {}, ...rows)), ...left] : [none()], timeline.marks);
}

/* A service that asks for a pause again and again is one row: pauses of one reason that nothing stands between. */
function grouped(marks) {
  const rows = [];
  for (const [, at, kind, text] of marks) {
    const last = rows.at(-1), reason = text.split(/[:,]/, 1)[0];
    const same = last && last.kind === "paused" && last.reason === reason;
    if (same && kind === "resumed" && !last.over) {
      if (last.times === 1) last.text += `; ${text.slice(reason.length + 2)}`.replace("; after", "; resumed after");
      Object.assign(last, { until: at, over: true });
    } else if (same && kind === "paused") {
      Object.assign(last, { until: at, over: false, times: last.times + 1 });
    } else rows.push({ at, kind, text, reason, times: 1, until: at, over: false });
  }
  return rows;
}

function drawEnd({ advice, live, settings, summary, version }) {
  byId("next-section").hidden = live || !advice.length;
  byId("next").replaceChildren(...advice.map((text) => make("li", {}, text)));
  const rows = Object.entries({ ...settings, ...Object.fromEntries(Object.entries(summary.files).map(([name, path]) => [`${name} file`, path])) });
  byId("settings-section").hidden = !rows.length;
  const table = make("table", {}, make("tbody", {}, ...rows.map(([name, value]) => make("tr", {}, make("td", {}, name), make("td", {}, value)))));
  keep("settings", [make("details", live ? {} : { open: "" }, make("summary", {}, plural(rows.length, "setting")), table)], [rows, !live]);
  byId("foot").textContent = `veetro-batch ${version}`;
}

/* Only where something is new: what a reader has opened or selected stays as it is. */
const kept = new Map();
function keep(id, children, content) {
  const text = JSON.stringify(content);
  if (kept.get(id) === text) return;
  kept.set(id, text);
  byId(id).replaceChildren(...children);
}

function drawAll(view) {
  for (const draw of [drawHead, drawOutcomes, drawCharts, drawSlots, drawProblems, drawDoubt, drawTables, drawShards, drawMarks, drawEnd]) draw(view);
  document.documentElement.dataset.drawn = String(1 + Number(document.documentElement.dataset.drawn || 0));
}
