/* The charts over time. The axis is the time of running: pauses between runs are left out, labels are wall time. */

const charts = new Map(); // by element id: {plot, shape}
const HEIGHT = 240;

const fitting = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const known = charts.get(target.id), width = target.clientWidth;
    if (known && width && width !== known.plot.width) known.plot.setSize({ width, height: HEIGHT });
  }
});

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

class Times {
  constructor(timeline, rows) {
    this.width = timeline.width;
    this.at = timeline.at;
    this.columns = timeline.columns;
    this.marks = timeline.marks;
    this.rows = rows;
    this.x = timeline.at.map((_, index) => index * timeline.width);
    this.seconds = this.column("seconds");
    this.heat = this.findHeat();
  }

  column(name) {
    return this.columns[name] || this.x.map(() => 0);
  }

  names(kind) {
    return Object.keys(this.columns).filter((name) => name.startsWith(`${kind}.`)).map((name) => name.slice(kind.length + 1));
  }

  /* A second of running; null where nothing is known. */
  rate(name) {
    return this.column(name).map((count, index) => (this.seconds[index] ? count / this.seconds[index] : null));
  }

  mean(name) {
    const samples = this.column("samples");
    return this.column(name).map((sum, index) => (samples[index] ? sum / samples[index] : null));
  }

  wall(x) {
    const index = Math.max(0, Math.min(this.at.length - 1, Math.floor(x / this.width)));
    return this.at[index] + (x - index * this.width);
  }

  /* For each slot its rows that hold something: [row, count], from the shortest on. */
  findHeat() {
    const rows = this.names("latency").map(Number).sort((a, b) => a - b);
    return this.x.map((_, index) => rows.map((row) => [row, this.columns[`latency.${row}`][index]]).filter(([, count]) => count));
  }

  top(row) {
    return this.rows.first * this.rows.growth ** row;
  }

  percentile(share) {
    return this.heat.map((cells) => {
      const total = cells.reduce((sum, [, count]) => sum + count, 0);
      let seen = 0;
      for (const [row, count] of cells) {
        if (seen + count >= share * total) return this.top(row - 1 + (share * total - seen) / count);
        seen += count;
      }
      return null;
    });
  }
}

/* Bands where sending rested, behind everything else. */
function drawPauses(times) {
  const columns = times.names("paused").map((reason) => times.column(`paused.${reason}`));
  return (plot) => {
    plot.ctx.save();
    plot.ctx.fillStyle = colour("in_doubt");
    times.x.forEach((x, index) => {
      const paused = columns.reduce((sum, column) => sum + column[index], 0);
      if (!paused) return;
      const left = plot.valToPos(x, "x", true), right = plot.valToPos(x + times.width, "x", true);
      plot.ctx.globalAlpha = 0.08 + 0.22 * Math.min(1, paused / (times.seconds[index] || times.width));
      plot.ctx.fillRect(left, plot.bbox.top, right - left, plot.bbox.height);
    });
    plot.ctx.restore();
  };
}

function drawHeat(times) {
  const most = Math.max(1, ...times.heat.flat().map(([, count]) => count));
  return (plot) => {
    plot.ctx.save();
    plot.ctx.beginPath();
    plot.ctx.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
    plot.ctx.clip();
    plot.ctx.fillStyle = colour("accent");
    times.heat.forEach((cells, index) => {
      const left = plot.valToPos(times.x[index], "x", true);
      const right = plot.valToPos(times.x[index] + times.width, "x", true);
      for (const [row, count] of cells) {
        const upper = plot.valToPos(times.top(row), "y", true), lower = plot.valToPos(times.top(row - 1), "y", true);
        plot.ctx.globalAlpha = 0.12 + 0.7 * (Math.log1p(count) / Math.log1p(most));
        plot.ctx.fillRect(left, upper, Math.max(1, right - left), lower - upper);
      }
    });
    plot.ctx.restore();
  };
}

function axis(side, values, size) {
  const line = colour("line");
  return { side, values, size, stroke: colour("faint"), grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
}

/* Draw into the element *id*; *series* are [label, colour, dashes, values, fill]. */
function chart(id, times, { series, show, log, draw, step, told }) {
  const holder = byId(id), shape = JSON.stringify([series.map(([label]) => label), log]);
  holder.setAttribute("aria-label", told);
  const data = [times.x, ...series.map(([, , , values]) => values)];
  const drawing = (plot) => { drawPauses(times)(plot); if (draw) draw(times)(plot); };
  const known = charts.get(id);
  if (known && known.shape === shape) {
    known.times = times;
    known.drawing = drawing;
    known.plot.setData(data);
    return;
  }
  if (known) known.plot.destroy();
  holder.replaceChildren();
  holder.className = "chart";
  holder.setAttribute("role", "img");
  holder.tabIndex = 0;
  const state = { times, drawing, shape };
  const options = {
    width: holder.clientWidth || 320,
    height: HEIGHT,
    cursor: { sync: { key: "veetro" }, drag: { x: false, y: false }, points: { size: 6 } },
    scales: {
      x: { time: false, range: (plot) => [0, Math.max(state.times.width, state.times.x.length * state.times.width)] },
      y: log
        ? { distr: 3, range: () => durations(state.times) }
        : { range: (plot, least, most) => [0, Math.max(1, (most || 0) * 1.08)] },
    },
    axes: [
      { ...axis(2, (plot, splits) => splits.map((x) => clock(state.times.wall(x))), 34), space: 76 },
      { ...axis(3, (plot, splits) => splits.map((value) => (value === null ? "" : show(value))), 62), ...(log ? STEPS : {}) },
    ],
    series: [
      { label: "time", value: (plot, x) => (x === null ? "–" : clock(state.times.wall(x), true)) },
      ...series.map(([label, stroke, dash, , fill]) => ({
        label,
        stroke,
        dash,
        fill,
        width: 2,
        spanGaps: true, // a slot is empty only where the run was too busy to look at itself
        points: { show: (plot) => state.times.x.length < 40, size: 4 },
        paths: step ? uPlot.paths.stepped({ align: 1 }) : undefined,
        value: (plot, value) => (value === null ? "–" : show(value)),
      })),
    ],
    hooks: { drawAxes: [(plot) => state.drawing(plot)] },
  };
  state.plot = new uPlot(options, data, holder);
  charts.set(id, state);
  holder.onkeydown = (event) => move(event, state);
  fitting.observe(holder);
}

/* All that there is, and not less than a factor of four. */
function durations(times) {
  const rows = times.heat.flat().map(([row]) => row);
  const least = times.top(Math.min(...rows) - 2), most = times.top(Math.max(...rows) + 1);
  return [least, Math.max(most, 4 * least)];
}

/* A logarithmic axis of times: 1, 2 and 5 of each power of ten, as far as there is room. */
const STEPS = {
  splits: (plot, axis, least, most) => {
    const steps = most / least > 1000 ? [1] : [1, 2, 5], found = [];
    for (let power = Math.floor(Math.log10(least)); power <= Math.log10(most); power++) {
      for (const step of steps) {
        const value = step * 10 ** power;
        if (value >= least && value <= most) found.push(value);
      }
    }
    return found;
  },
  filter: (plot, splits) => splits,
};

/* The cursor follows the keys, in all charts at once. */
function move(event, state) {
  const last = state.times.x.length - 1, at = state.plot.cursor.idx ?? last;
  const index = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
  if (index === undefined) return;
  event.preventDefault();
  const x = state.times.x[Math.max(0, Math.min(last, index))];
  for (const { plot } of charts.values()) plot.setCursor({ left: plot.valToPos(x, "x"), top: 10 });
}

function emptyChart(id, text) {
  const known = charts.get(id);
  if (known) known.plot.destroy();
  charts.delete(id);
  const holder = byId(id);
  holder.className = "chart empty";
  holder.removeAttribute("tabindex");
  holder.replaceChildren(text);
}

function forgetCharts() {
  for (const { plot } of charts.values()) plot.destroy();
  charts.clear();
}

