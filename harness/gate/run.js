// The page of a run in progress: asks the run what it has come to, once per second.

const VERDICTS = { PASS: ["pass", "✓"], FAIL: ["fail", "✕"], INCONCLUSIVE: ["inconclusive", "?"], INVALID: ["invalid", "!"] };
const COLUMNS = ["time_s", "offered", "achieved", "p50", "p95", "p99", "refused", "failed"];

let rows = [], count = 0, time_s = 0, misses = 0, over = false;

function badge(verdict) {
  const [kind, mark] = VERDICTS[verdict] ?? ["invalid", "!"];
  return tag("span", { class: `badge ${kind}` }, tag("i", { "aria-hidden": "true" }, mark), verdict);
}

function show(kind, mark, title, why) {
  at("#state").className = `verdict ${kind}`;
  say("#state .mark", mark);
  say("#state h1", title);
  say("#state .why", why);
  document.title = `${title} – tailgate`;
}

function take(state) {
  // Another run has the port now.
  if (state.time_s < time_s) location.reload();
  rows.push(...state.rows.map(row => Object.fromEntries(COLUMNS.map((name, index) => [name, row[index]]))));
  ({ count, time_s } = state);
}

function told({ now, compared, number, of, ended, said }) {
  const bar = at(".progress"), part = now?.share ?? compared?.share ?? null;
  bar.hidden = ended !== null || part === null;
  if (ended) return show(VERDICTS[ended.verdict]?.[0] ?? "invalid", VERDICTS[ended.verdict]?.[1] ?? "!", ended.verdict, ended.why);
  const place = of > 1 ? `Scenario ${number} of ${of}` : "One scenario";
  if (part !== null) {
    at(".progress i").style.width = percent(part);
    bar.setAttribute("aria-valuenow", Math.round(part * 100));
  }
  if (compared) return show("running", number, "Running", `${place}, ${[compared.title, ...compared.parts].join(", ")}.`);
  if (now === null) return show("running", "…", "Running", `${place}. ${said.at(-1) ?? "Getting ready."}`);
  const left = now.left_s === null ? "" : `, about ${span(now.left_s)} left`;
  show("running", number, "Running", `${place}, ${now.scenario}: phase ${now.phase}, ${Math.round(now.share * 100)} % done${left}.`);
}

function tiles({ now, ended }) {
  // A comparison has no figures of single seconds.
  for (const selector of ["#tiles", "#latency", "#rates", "#lost"]) at(selector).hidden = rows.length === 0;
  at("#tiles").hidden ||= ended !== null;
  const last = rows.at(-1) ?? {}, failures = Object.entries(now?.failures ?? {});
  const failed = failures.reduce((sum, [, count]) => sum + count, 0), refused = now?.refused ?? null;
  const cells = [
    ["Offered", rate(last.offered), "requests"], ["Achieved", rate(last.achieved), "good answers"],
    ["p50", seconds(last.p50), "half are slower"], ["p95", seconds(last.p95), "5 % are slower"], ["p99", seconds(last.p99), "1 % are slower"],
    ["Time left", known(now?.left_s) ? span(now.left_s) : MISSING, "in this phase"],
    ["Refused", whole(refused), "in this phase"],
    ["Failed", whole(now && failed), failures.map(([kind, count]) => `${whole(count)} × ${kind}`).join(", ") || "in this phase", failed > 0],
  ];
  at("#tiles").replaceChildren(...cells.map(([name, value, note, bad]) => tag("div", {},
    tag("dt", {}, name), tag("dd", { class: bad ? "value bad" : "value" }, value), tag("dd", { class: "note" }, note))));
}

function verdicts({ verdicts }) {
  at("#verdicts").hidden = verdicts.length === 0;
  at("#verdicts .scroll").replaceChildren(table(["scenario", "verdict", "why"],
    verdicts.map(one => [one.scenario, badge(one.verdict), one.why])));
}

function over_time(name, style, write) {
  // A pause between two phases breaks the line.
  const points = rows.flatMap((row, index) => index && row.time_s - rows[index - 1].time_s > 2.5
    ? [[row.time_s, null], [row.time_s, row[name]]] : [[row.time_s, row[name]]]);
  return { name, style, write, points };
}

function charts({ phases }) {
  const start_s = rows[0]?.time_s > 3600 ? rows[0].time_s : 0, end_s = Math.max(time_s, 10);
  const x = times(start_s, end_s, { ages: false });
  const spans = phases.map(one => ({ name: `${one.scenario}: ${one.name}`, start: one.start_s, end: one.end_s ?? time_s, measured: true }));
  const drawn = (selector, series, y, title, size) => draw(selector, chart({ x, y, series, title, size, phases: spans }), numbers(series));
  const values = series => series.flatMap(one => one.points.map(([, value]) => value));
  const quantiles = [over_time("p99", "s2 dashed", seconds), over_time("p95", "s1", seconds), over_time("p50", "s0", seconds)];
  drawn("#latency", quantiles, logarithmic(values(quantiles), seconds), "latency", "tall");
  const rates = [over_time("offered", "s0", rate), over_time("achieved", "s1", rate)];
  drawn("#rates", rates, linear(Math.max(0, ...values(rates)), rate, 1), "per second");
  const lost = [over_time("refused", "s2 dashed", rate), over_time("failed", "s3", rate)];
  drawn("#lost", lost, linear(Math.max(0, ...values(lost)), rate, 1), "per second");
}

function steps({ said, target }) {
  say("#target", target);
  at(".said").replaceChildren(...said.map(line => tag("li", {}, line)));
}

// The report is fetched while the run can still give it, so that the link works when the run is gone.
async function end({ ended }) {
  over = true;
  const place = at("#report");
  place.hidden = false;
  place.replaceChildren("The results lie in ", tag("code", {}, ended.folder), ".");
  if (!ended.report) return;
  const report = URL.createObjectURL(await (await fetch("report")).blob());
  place.prepend(tag("a", { class: "button", href: report, target: "_blank" }, "Open the report"), " ");
}

async function look() {
  if (over) return;
  try {
    const state = await (await fetch(`state?known=${count}`, { signal: AbortSignal.timeout(10_000) })).json();
    misses = 0;
    take(state);
    for (const part of [told, tiles, verdicts, charts, steps]) part(state);
    if (state.ended) await end(state);
  } catch (error) {
    misses += 1;
    if (misses > 2) show("invalid", "!", "The run does not answer", "It has ended, or it was stopped. Its terminal says more.");
  }
}

everySecond(look);
