/* A report carries its view; the live page asks for it every two seconds while somebody looks. */

const PERIOD_MS = 2000;
let shown = JSON.parse(byId("view").textContent);

async function ask() {
  try {
    const answer = await fetch("view.json", { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    shown = await answer.json();
  } catch {
    if (shown) byId("alarms").replaceChildren(make("li", {}, "The run does not answer any more: it has ended, or this page was cut off from it. What is shown is the last that it said."));
    return;
  }
  drawAll(shown);
}

async function watch() {
  if (!document.hidden) await ask();
  setTimeout(watch, PERIOD_MS);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  forgetCharts();
  if (shown) drawAll(shown);
});

if (shown) drawAll(shown);
else {
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  watch();
}
