// The service's own page: reads its metrics once per second, and sends it a picture.

const WINDOW_S = 10, SHOWN_S = 180, LEAST_SHOWN_S = 60;
const REFUSED = ["full", "late", "unavailable"], FAILED = ["error", "expired"];
const STAGES = { queue: "s1", decode: "s5", compute: "s2", encode: "s4" };
const STATES = {
  ready: ["pass", "✓", "Ready"],
  starting: ["inconclusive", "…", "Starting"],
  draining: ["inconclusive", "…", "Draining"],
  hung: ["fail", "✕", "Hung"],
  failed: ["fail", "✕", "The start has failed"],
  stopped: ["fail", "✕", "Stopped"],
};
const WHY = {
  starting: "The model is being loaded and warmed up. It takes no requests yet.",
  draining: "Accepted requests are finished, new ones are refused, and then the service stops.",
  hung: "A batch does not end, or the device has failed. No request is taken.",
  failed: "The log says why.",
};
const OUTCOMES = {
  ok: "answered with a result",
  full: "refused: the queue or the memory for bodies was full",
  late: "refused: the answer would have been late",
  unavailable: "refused: starting, draining or hung",
  expired: "its own deadline passed",
  error: "the model failed on it",
  bad_input: "not what the model takes",
  unknown_path: "no such path",
  unauthorized: "no token, or none that is known",
  cancelled: "the client left",
};

let readings = [], token = null, facts = null, shown = null, misses = 0;

const headers = more => token === null ? more : { ...more, Authorization: `Bearer ${token}` };
const ask = (path, more = {}) => fetch(path, { headers: headers(more), signal: AbortSignal.timeout(10_000) });

// Prometheus's text: a line is NAME{LABEL="VALUE",…} NUMBER.
function parsed(text) {
  const found = new Map();
  for (const row of text.split("\n")) {
    const match = /^tailgate_(\w+)(?:\{(.*)\})? (\S+)$/.exec(row);
    if (!match) continue;
    const labels = Object.fromEntries([...(match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(one => one.slice(1)));
    if (!found.has(match[1])) found.set(match[1], []);
    found.get(match[1]).push({ labels, value: Number(match[3]) });
  }
  return found;
}

function readingOf(text, at_s) {
  const found = parsed(text);
  const value = name => found.get(name)?.[0].value ?? null;
  const histogram = (name, chosen = () => true) => ({
    edges: (found.get(`${name}_bucket`) ?? []).filter(one => chosen(one.labels)).map(one => [Number(one.labels.le.replace("+Inf", "Infinity")), one.value]),
    sum: (found.get(`${name}_sum`) ?? []).find(one => chosen(one.labels))?.value ?? 0,
  });
  const outcomes = Object.fromEntries((found.get("requests_total") ?? []).map(one => [one.labels.outcome, one.value]));
  return {
    at_s, outcomes, started: /^process_start_time_seconds (\S+)$/m.exec(text)?.[1],
    ready: value("ready") === 1, busy: value("executor_busy_seconds_total"),
    waiting: value("queue_depth"), decoding: value("decode_queue_depth"), inFlight: value("in_flight"),
    latency: histogram("request_seconds", labels => labels.outcome === "ok"), batch: histogram("batch_size"),
    stages: Object.fromEntries(Object.keys(STAGES).map(name => [name, histogram(`${name}_seconds`)])),
  };
}

// The difference of two readings of a histogram: counts up to each edge, all of them, and their sum.
function between(before, now) {
  const earlier = new Map(before.edges);
  const edges = now.edges.map(([edge, count]) => [edge, count - (earlier.get(edge) ?? 0)]);
  return { edges, count: edges.at(-1)?.[1] ?? 0, sum: now.sum - before.sum };
}

// As a histogram tells: evenly within the bucket in which the quantile lies.
function quantile({ edges, count }, wanted) {
  if (!count) return null;
  const rank = wanted * count, index = edges.findIndex(([, below]) => below >= rank);
  const [low, before] = index > 0 ? edges[index - 1] : [0, 0], [high, below] = edges[index];
  return high === Infinity ? low : low + (high - low) * (rank - before) / (below - before);
}

const mean = ({ sum, count }) => count ? sum / count : null;
const total = (outcomes, names) => names.reduce((sum, name) => sum + (outcomes[name] ?? 0), 0);

// What one reading says together with those before it.
function pointOf(now) {
  const last = readings.at(-1), before = readings.find(one => one.at_s >= now.at_s - WINDOW_S - 0.5) ?? last;
  if (!last) return {};
  const per = names => (total(now.outcomes, names) - total(last.outcomes, names)) / (now.at_s - last.at_s);
  const latency = between(before.latency, now.latency);
  return {
    ok: per(["ok"]), refused: per(REFUSED), failed: per(FAILED),
    p50: quantile(latency, 0.5), p95: quantile(latency, 0.95), p99: quantile(latency, 0.99),
    busy: (now.busy - before.busy) / (now.at_s - before.at_s), batch: between(before.batch, now.batch),
    stages: Object.fromEntries(Object.keys(STAGES).map(name => [name, mean(between(before.stages[name], now.stages[name]))])),
    per_s: Object.fromEntries(Object.entries(now.outcomes).map(([name, count]) => [name, (count - (before.outcomes[name] ?? 0)) / (now.at_s - before.at_s)])),
  };
}

function take(text, now_s) {
  const now = readingOf(text, now_s);
  if (readings.length && readings.at(-1).started !== now.started) {
    readings = [];
    facts = null;
  }
  now.point = pointOf(now);
  readings = [...readings.filter(one => one.at_s >= now_s - SHOWN_S), now];
  return now;
}

// Drawing

function show([kind, mark, title], why) {
  at("#state").className = `verdict ${kind}`;
  say("#state .mark", mark);
  say("#state h1", title);
  say("#state .why", why);
  document.title = `${title} – tailgate`;
}

function showFacts({ engine, version }) {
  const device = engine.device === "cpu" ? "the CPU" : engine.device;
  shown = `${engine.model} on ${device} in ${engine.precision} (${engine.executor}), in batches of up to ${engine.max_batch_size}.`;
  const pairs = {
    Model: engine.model, Weights: engine.weights, Input: engine.input, Device: engine.device,
    Precision: engine.precision, Executor: engine.executor,
    "Largest batch": `${engine.max_batch_size} (${engine.max_batch_size_reason})`,
    Threads: `${engine.threads} per model call, on processors: ${engine.processors}`,
    Versions: `tailgate ${version}, PyTorch ${engine.torch}, Python ${engine.python}`,
  };
  at("#facts").replaceChildren(...Object.entries(pairs).flatMap(([name, text]) => [tag("dt", {}, name), tag("dd", {}, text)]));
}

function tiles(now) {
  const { point } = now, lost = total(point.per_s ?? {}, [...REFUSED, ...FAILED]);
  const rows = [
    ["Answered", rate(point.per_s?.ok), "good answers"],
    ["p50", seconds(point.p50), "half are slower"], ["p95", seconds(point.p95), "5 % are slower"], ["p99", seconds(point.p99), "1 % are slower"],
    ["Waiting", whole(now.waiting + now.decoding), "requests"], ["Mean batch", number(point.batch && mean(point.batch)), "requests at once"],
    ["Model busy", share(point.busy), "of the time"], ["Refused or failed", rate(point.per_s && lost), lost ? "see below" : "none", lost > 0],
  ];
  at("#tiles").replaceChildren(...rows.map(([name, value, note, bad]) => tag("div", {},
    tag("dt", {}, name), tag("dd", { class: bad ? "value bad" : "value" }, value), tag("dd", { class: "note" }, note))));
}

function over(name, style, write, value) {
  return { name, style, write, points: readings.map(one => [one.at_s, value(one)]) };
}

function pictured(selector, series, y, title) {
  const now_s = readings.at(-1).at_s, start_s = Math.min(readings[0].at_s, now_s - LEAST_SHOWN_S);
  draw(selector, chart({ x: times(start_s, now_s, { ages: true }), y, series, title }), numbers(series));
}

const most = series => Math.max(0, ...series.flatMap(one => one.points.map(([, value]) => value ?? 0)));

function charts(now) {
  const ended = [over("answered", "s1", rate, one => one.point.ok), over("refused", "s2 dashed", rate, one => one.point.refused),
    over("failed", "s3 dotted", rate, one => one.point.failed)];
  pictured("#throughput", ended, linear(most(ended), rate, 1), "requests per second");
  const quantiles = [over("p99", "s2 dashed", seconds, one => one.point.p99), over("p95", "s1", seconds, one => one.point.p95),
    over("p50", "s0", seconds, one => one.point.p50)];
  pictured("#latency", quantiles, logarithmic(quantiles.flatMap(one => one.points.map(([, value]) => value)), seconds), "time in the service");
  const inside = [over("in the service", "s1", whole, one => one.inFlight), over("waiting for a batch", "s2 dashed", whole, one => one.waiting),
    over("waiting for a decoder", "s3 dotted", whole, one => one.decoding)];
  pictured("#queue", inside, linear(most(inside), whole, 4), "requests");
  batches(now.point.batch);
  stages(now);
  outcomes(now);
}

function batches(batch) {
  if (!batch?.count) return nothing("#batches");
  const rows = batch.edges.map(([edge, count], index) => {
    const [low, below] = index ? batch.edges[index - 1] : [0, 0];
    return [edge === Infinity ? `more than ${low}` : edge - low > 1 ? `${low + 1}–${edge}` : `${edge}`, (count - below) / batch.count];
  }).filter(([, part], index) => part > 0 || (batch.edges[index - 1]?.[0] ?? 0) < Number(facts?.engine.max_batch_size));
  const longest = Math.max(...rows.map(([, part]) => part));
  draw("#batches", [bars(rows.map(([name, part]) => [name, [["s1", part / longest]], share(part)]), "pair"),
    tag("p", { class: "finding" }, `The mean batch has ${number(mean(batch))} requests.`)],
  table(["requests in the batch", "share of the batches"], rows.map(([name, part]) => [name, share(part)])));
}

function stages(now) {
  const all = Object.fromEntries(Object.keys(STAGES).map(name => [name, mean({ ...now.stages[name], count: now.stages[name].edges.at(-1)?.[1] })]));
  const rows = [["last 10 s", now.point.stages ?? {}], ["since the start", all]].map(([name, parts]) =>
    [name, Object.keys(STAGES).map(stage => parts[stage] ?? 0), Object.values(parts).some(known)]);
  const longest = Math.max(...rows.map(([, parts]) => parts.reduce((sum, part) => sum + part, 0)));
  if (!longest) return nothing("#stages");
  draw("#stages", [bars(rows.map(([name, parts, any]) => [name, parts.map((part, index) => [Object.values(STAGES)[index], part / longest]),
    any ? seconds(parts.reduce((sum, part) => sum + part, 0)) : MISSING]), "stack"),
  legend(Object.entries(STAGES).map(([name, style]) => [`${style} block`, name]))],
  table(["requests", ...Object.keys(STAGES)], rows.map(([name, parts]) => [name, ...parts.map(seconds)])));
}

function outcomes(now) {
  const rows = Object.entries(now.outcomes).filter(([name, count]) => count || name === "ok");
  at("#outcomes .scroll").replaceChildren(table(["outcome", "since the start", "last 10 s"],
    rows.map(([name, count]) => [OUTCOMES[name] ?? name, whole(count), rate(now.point.per_s?.[name])])));
}

function nothing(selector) {
  draw(selector, tag("p", { class: "how" }, "No request in the last 10 seconds."), "");
}

// Looking

async function look() {
  // Who has been refused is asked for a token, and the service for nothing before one is given.
  if (token === null && !at("#token").hidden) return;
  const asked = token;
  try {
    const answer = await ask("metrics");
    if (token !== asked) return;  // another token was given meanwhile, and has its own answer
    at("#token").hidden = answer.status !== 401;
    if (answer.status === 401) {
      show(["invalid", "!", "A token is needed"], token === null ? "This service answers only those who have a token. It stays in this page." : "The service does not know this token.");
      token = null;
      return;
    }
    if (!answer.ok) throw new Error(`/metrics answers ${answer.status}`);
    const now = take(await answer.text(), performance.now() / 1000);
    misses = 0;
    await state(now);
    tiles(now);
    charts(now);
  } catch (error) {
    misses += 1;
    if (misses > 1) show(["fail", "✕", "No answer"], `The service has not answered ${misses} times in a row: ${error.message}.`);
  }
}

async function state(now) {
  if (now.ready && facts === null) {
    facts = await (await ask("", { Accept: "application/json" })).json();
    showFacts(facts);
  }
  const word = now.ready ? "ready" : (await (await ask("health/ready")).json()).status;
  show(STATES[word] ?? ["invalid", "!", word], word === "ready" ? shown : WHY[word] ?? "");
}

// A picture

async function classify(file) {
  if (!file) return;
  picture(file);
  at("#try .answer").replaceChildren(tag("p", { class: "how" }, "Sent."));
  const form = new FormData(), began = performance.now();
  form.append("file", file);
  try {
    const answer = await fetch("predict", { method: "POST", body: form, headers: headers({}) });
    const took_s = (performance.now() - began) / 1000, text = await answer.text();
    at("#try .answer").replaceChildren(...answered(answer, text, took_s));
  } catch (error) {
    at("#try .answer").replaceChildren(tag("p", { class: "error" }, `No answer: ${error.message}`));
  }
}

function picture(file) {
  const image = tag("img", { alt: file.name }), old = at(".zone img");
  image.src = URL.createObjectURL(file);
  if (old) {
    URL.revokeObjectURL(old.src);
    old.remove();
  }
  zone.prepend(image);
}

function answered(answer, text, took_s) {
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    body = { error: text.slice(0, 200) };
  }
  if (!answer.ok) return [tag("p", { class: "error" }, `${answer.status}: ${body.error}`)];
  const labels = body.predictions?.map(one => [one.label, [["s1", one.probability]], share(one.probability)]);
  const result = labels ? bars(labels, "pair") : tag("code", {}, JSON.stringify(body.outputs).slice(0, 300));
  return [tag("h5", {}, labels ? "Labels" : "Outputs"), result, ...timing(answer.headers.get("server-timing") ?? "", took_s)];
}

function timing(header, took_s) {
  const stages = Object.fromEntries([...header.matchAll(/(\w+);dur=([\d.]+)/g)].map(([, name, ms]) => [name, Number(ms) / 1000]));
  const batch = /batch;desc="(\d+)"/.exec(header)?.[1];
  if (!known(stages.total)) return [];
  const parts = Object.keys(STAGES).filter(name => known(stages[name]));
  return [tag("h5", {}, "Time by stage"),
    bars([["service", parts.map(name => [STAGES[name], stages[name] / stages.total]), seconds(stages.total)]], "stack"),
    legend(parts.map(name => [`${STAGES[name]} block`, `${name} ${seconds(stages[name])}`])),
    tag("p", { class: "how plain" }, `In a batch of ${batch}. With the way there and back it took ${seconds(took_s)}.`)];
}

const zone = at(".zone");
at(".zone input").addEventListener("change", event => {
  classify(event.target.files[0]);
  event.target.value = "";
});
document.addEventListener("paste", event => classify(event.clipboardData.files[0]));
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, event => {
    event.preventDefault();
    zone.classList.toggle("over", name === "dragover");
    if (name === "drop") classify(event.dataTransfer.files[0]);
  });
}
at("#token").addEventListener("submit", event => {
  event.preventDefault();
  token = new FormData(event.target).get("token");
  look();
});
everySecond(look);
