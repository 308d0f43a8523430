"use strict";
// What is shown is in the address, after its #: the view, search, filters and the open fact.
// There alone, because a page from a file may change nothing else of its address.
// #ID by itself opens that fact.
(() => {
  const element = (id) => document.getElementById(id);
  const { columns, facts } = JSON.parse(element("data").textContent);
  const FULL = "●◆▲■★", HOLLOW = "○◇△□☆", FEW = 3, MANY = 6, FIT = 15;
  const TITLE = document.title;
  const place = new Map(facts.map((fact, at) => [fact.id, at]));
  const rows = [...document.querySelectorAll("tr.fact")];
  const links = rows.map((row) => row.querySelector("a"));
  const homes = rows.map((row) => row.parentElement);
  const sections = [...document.querySelectorAll("#grid tbody")];
  const ticks = [...document.querySelectorAll("#platforms input")];
  const chips = [...document.querySelectorAll(".chips li")];
  const allNames = chips.map((chip) => chip.querySelector(".whose").textContent);
  const systems = [...document.querySelectorAll("#grid [data-span]")].map(makeSystem);
  const words = facts.map((fact) =>
    [fact.id, fact.question, fact.matters, fact.advice, fact.also,
      ...fact.reference.map(([text]) => text),
      ...fact.cells.map((cell) => cell.answer)].join("\n").toLowerCase());
  const search = element("search"), family = element("family"), differs = element("differs");
  const from = element("from"), to = element("to"), panel = element("panel");
  const alike = makeAlike();
  let state = {};
  // Places of the facts that are seen, in the page's order, and the links that open them.
  let listed = [], listedLinks = [];

  // The address ---------------------------------------------------------------------------

  function read() {
    const text = location.hash.slice(1);
    const params = new URLSearchParams(/[=&]/.test(text) ? text : "");
    return {
      view: params.get("view") === "changes" ? "changes" : "platforms",
      q: params.get("q") || "",
      family: params.get("family") || "",
      all: params.get("all") === "1",
      without: params.getAll("without"),
      // Not told: as many systems are folded as the window asks for.  Empty: none.
      folded: params.has("folded") ? params.getAll("folded").filter(Boolean) : null,
      from: params.get("from") || "",
      to: params.get("to") || "",
      fact: params.get("fact") || (/[=&]/.test(text) ? "" : decoded(text)),
    };
  }

  function decoded(text) {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  }

  function address(of) {
    const params = new URLSearchParams();
    if (of.view === "changes") {
      params.set("view", of.view);
      for (const name of ["from", "to"]) if (of[name]) params.set(name, of[name]);
    }
    if (of.q) params.set("q", of.q);
    if (of.family) params.set("family", of.family);
    if (of.all) params.set("all", "1");
    for (const name of of.without) params.append("without", name);
    if (of.folded) for (const name of of.folded.length ? of.folded : [""]) params.append("folded", name);
    const alone = of.fact && !params.size;
    if (of.fact && !alone) params.set("fact", of.fact);
    const text = alone ? encodeURIComponent(of.fact) : params.toString();
    return location.href.split("#")[0] + (text && `#${text}`);
  }

  // A step that "back" takes back; `replace` makes it a part of the one before.
  function go(change, replace = false) {
    const before = state;
    state = { ...state, fact: place.has(state.fact) ? state.fact : "", ...change };
    const url = address(state);
    if (url !== location.href) history[replace ? "replaceState" : "pushState"](null, "", url);
    show(before);
  }

  function show(before) {
    const same = (...names) => names.every((name) => String(before[name]) === String(state[name]));
    if (search.value !== state.q) search.value = state.q;
    family.value = state.family;
    differs.checked = !state.all;
    if (!same("without", "folded")) showColumns();
    if (!same("view", "from", "to")) showView();
    const unknown = before.fact && !place.has(before.fact);
    if (unknown || !same("view", "q", "family", "all", "without", "from", "to")) filter();
    showFact(before.fact || "");
  }

  // Which rows and columns are seen ------------------------------------------------------

  // What matches and differs nowhere is shown below the rest.
  function makeAlike() {
    const body = document.createElement("tbody");
    body.setAttribute("role", "rowgroup");
    body.id = "alike";
    const title = sections[0]?.firstElementChild.cloneNode(true);
    if (title) {
      title.querySelector("span").textContent = "Alike on the platforms shown, or informative";
      body.append(title);
    }
    element("grid").append(body);
    return body;
  }

  function isSeen(at) {
    return !state.without.includes(columns[at].name);
  }

  function isDifferent(fact, places) {
    if (fact.scope === "informative") return false;
    if (places.some((at) => fact.cells[at].varies)) return true;
    const answers = places.map((at) => fact.cells[at].group).filter((group) => group !== null);
    return new Set(answers).size > 1;
  }

  function filter() {
    const wanted = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const matching = facts.map((fact, at) => at).filter((at) =>
      wanted.every((word) => words[at].includes(word)) &&
      (!state.family || facts[at].id.startsWith(`${state.family}.`)));
    if (state.view === "changes") filterChanges(matching);
    else filterPlatforms(matching, wanted.length > 0 || state.family !== "");
    const none = listed.length === 0;
    element("nothing").hidden = !none;
    element("grid").hidden = none || state.view === "changes";
    element("changes").hidden = none || state.view !== "changes";
  }

  function filterPlatforms(matching, narrowed) {
    const seen = columns.map((_, at) => at).filter(isSeen);
    // The surprises are shown even where they do not surprise.
    const differing = new Set(matching.filter((at) => isDifferent(facts[at], seen)));
    const first = matching.filter((at) => state.all || differing.has(at) ||
      (!narrowed && homes[at].dataset.family === ""));
    const rest = matching.filter((at) => !first.includes(at));
    const below = narrowed || first.length === 0 ? rest : [];
    const shown = new Set([...first, ...below]), under = new Set(below);
    rows.forEach((row, at) => {
      row.hidden = !shown.has(at);
      (under.has(at) ? alike : homes[at]).append(row);
    });
    for (const body of [...sections, alike]) {
      body.hidden = !body.querySelector("tr.fact:not([hidden])");
    }
    listed = [...first, ...below];
    listedLinks = listed.map((at) => links[at]);
    const total = `of ${facts.length} facts`;
    element("count").textContent = state.all ? `${first.length} ${total}`
      : `${differing.size} ${total} ${narrowed ? "match and differ" : "differ"}` +
        (narrowed && rest.length ? `; ${rest.length} more match and differ nowhere` : "");
    element("nothing").firstElementChild.textContent = nothing();
  }

  function nothing() {
    const where = state.family ? ` in ${state.family}` : "";
    return state.q ? `No fact${where} matches “${state.q}”.` : "No fact matches.";
  }

  function showColumns() {
    ticks.forEach((tick, at) => { tick.checked = isSeen(at); });
    const folded = systems.filter(isFolded);
    const within = new Set(folded.flatMap(({ places }) => places));
    for (const cell of document.querySelectorAll("#grid [data-column]")) {
      const at = Number(cell.dataset.column);
      cell.hidden = !isSeen(at) || within.has(at);
    }
    for (const system of systems) showSystem(system, folded.includes(system));
    chips.forEach((chip, each) => {
      const places = chip.dataset.columns.split(" ");
      const whose = places.filter(isSeen).map((at) => columns[at].name);
      chip.hidden = whose.length === 0;
      chip.querySelector(".whose").textContent = state.without.length === 0 ? allNames[each]
        : whose.length <= FEW ? whose.join(", ") : `${whose.length} platforms`;
    });
    const number = columns.filter((_, at) => isSeen(at)).length;
    const open = columns.filter((_, at) => isSeen(at) && !within.has(at)).length;
    // A title that spans more columns than are seen would keep room for them.
    for (const title of document.querySelectorAll("#grid .family th")) {
      title.colSpan = 1 + open + folded.length;
    }
    element("grid").classList.toggle("many", open + 2 * folded.length > MANY);
    element("grid").style.minWidth = `${18 + 3.5 * open + 8.5 * folded.length}rem`;
    element("shown").textContent = `(${number} of ${columns.length})`;
  }

  // Systems that fold into one column ------------------------------------------------------

  function makeSystem(head) {
    const first = Number(head.dataset.from), span = Number(head.dataset.span);
    const places = [...Array(span).keys()].map((at) => first + at);
    const { system: name, title } = columns[first];
    const made = { name, title, places, head, button: null, fold: null };
    if (span > 1) {
      made.button = make("button", "");
      made.button.type = "button";
      head.append(" ", made.button);
      head.classList.add("folds");
      head.addEventListener("click", () => fold(made, !isFolded(made)));
    }
    return made;
  }

  function isFolded({ name, places, head }) {
    if (places.filter(isSeen).length < 2) return false;
    if (state.folded) return state.folded.includes(name);
    return columns.length > FIT && places.length > FEW;
  }

  function fold(system, folds) {
    const others = systems.filter((each) => each !== system && isFolded(each));
    go({ folded: [...others, ...(folds ? [system] : [])].map(({ name }) => name) });
  }

  function showSystem(system, folded) {
    const { title, places, head, button } = system;
    const seen = places.filter(isSeen);
    head.hidden = seen.length === 0;
    head.colSpan = folded ? 1 : seen.length || 1;
    head.style.width = folded ? "8.5rem" : "";
    if (!button) return;
    button.hidden = seen.length < 2;
    button.textContent = folded ? "▸" : "▾";
    button.setAttribute("aria-expanded", String(!folded));
    button.setAttribute("aria-label", `${title}: ${seen.length} platforms`);
    if (folded && !system.fold) system.fold = makeFold(places[0]);
    if (!system.fold) return;
    system.fold.name.hidden = !folded;
    system.fold.name.textContent = `${seen.length} platforms`;
    system.fold.cells.forEach((cell, at) => {
      cell.hidden = !folded;
      if (folded) fillFold(cell, facts[at], seen, system);
    });
  }

  // The cells of a folded system, each before those of its first platform.
  function makeFold(first) {
    const cells = rows.map((row) => {
      const cell = make("td", "");
      cell.setAttribute("role", "cell");
      row.querySelector(`[data-column="${first}"]`).before(cell);
      return cell;
    });
    const name = make("th", "");
    name.setAttribute("role", "columnheader");
    name.scope = "col";
    document.querySelector(`#grid .names [data-column="${first}"]`).before(name);
    return { name, cells };
  }

  // The answer of all that were measured; of a system without a report, what is documented.
  function fillFold(cell, fact, seen, system) {
    const known = seen.map((at) => fact.cells[at]).filter(({ group }) => group !== null);
    const measured = known.filter(({ status }) => status !== "documented");
    const telling = measured.length ? measured : known;
    const reports = seen.filter((at) => columns[at].kind !== "documented only").length;
    const number = new Set(telling.map(({ group }) => group)).size;
    const box = make("div", "");
    cell.className = "fold";
    if (number > 1) {
      const open = make("button", `differ: ${number} answers`);
      open.type = "button";
      open.dataset.unfold = system.name;
      box.append(open);
    } else if (number) {
      const said = answer(telling[0]);
      cell.classList.add(...said.classList);
      box.append(...said.childNodes);
      if (!measured.length) box.append(make("span", " documented, not measured", "unseen"));
    } else {
      const why = new Set(seen.map((at) => fact.cells[at].answer).filter((each) => each !== "?"));
      cell.classList.add("answer", "no-answer");
      box.append(why.size === 1 ? [...why][0] : why.size ? "no answer" : "?");
    }
    if (telling.some(({ breaks }) => breaks)) {
      box.append(" ", make("strong", "!", "breaks"), make("span", " not what is documented", "unseen"));
    }
    if (measured.length && measured.length < reports) {
      box.append(make("small", ` ${measured.length} of ${reports} measured`));
    }
    cell.replaceChildren(box);
  }

  function keep(which) {
    go({ without: columns.filter((column, at) => !which(column, at)).map(({ name }) => name) });
  }

  // What changed between two platforms -----------------------------------------------------

  // Where a name is not given, or of no platform: the first, and the first of another system.
  function pair() {
    const named = (name) => columns.findIndex((column) => column.name === name);
    const start = Math.max(named(state.from), 0);
    const other = columns.findIndex((column) => column.system !== columns[start]?.system);
    return [start, named(state.to) >= 0 ? named(state.to) : Math.max(other, 0)];
  }

  function showView() {
    const changes = state.view === "changes";
    for (const each of document.querySelectorAll(".platforms-only")) each.hidden = changes;
    for (const each of document.querySelectorAll(".changes-only")) each.hidden = !changes;
    element(changes ? "to-changes" : "to-platforms").setAttribute("aria-current", "page");
    element(changes ? "to-platforms" : "to-changes").removeAttribute("aria-current");
    const both = pair();
    [from.value, to.value] = both;
    const heads = element("changes").querySelectorAll("th");
    both.forEach((at, each) => { heads[each + 1].textContent = columns[at]?.name || ""; });
  }

  function filterChanges(matching) {
    const both = pair();
    const known = matching.filter((at) => both.every((of) => facts[at].cells[of].group !== null));
    const changed = known.filter((at) => both[0] !== both[1] && isDifferent(facts[at], both));
    const body = element("changes").tBodies[0];
    body.replaceChildren(...changed.map((at) => changeRow(facts[at], both)));
    listed = changed;
    listedLinks = [...body.querySelectorAll("th a")];
    const unknown = matching.length - known.length;
    element("count").textContent = `${changed.length} of ${known.length} facts known of both differ` +
      (unknown ? `; ${unknown} not known of both` : "");
    element("nothing").firstElementChild.textContent =
      matching.length ? "What matches does not differ between these two." : nothing();
  }

  function changeRow(fact, both) {
    const row = make("tr", "", "fact");
    row.setAttribute("role", "row");
    row.dataset.fact = fact.id;
    const head = make("th", "");
    head.setAttribute("role", "rowheader");
    head.scope = "row";
    const link = make("a", fact.question);
    link.href = `#${fact.id}`;
    head.append(link, " ", make("code", fact.id));
    row.append(head);
    for (const at of both) {
      const cell = make("td", "");
      cell.dataset.platform = columns[at].name;
      cell.append(answer(fact.cells[at]));
      row.append(cell);
    }
    row.append(make("td", fact.advice, "advice"));
    for (const cell of row.cells) if (cell !== head) cell.setAttribute("role", "cell");
    return row;
  }

  // The panel of a fact ------------------------------------------------------------------

  function make(name, text, ...classes) {
    const made = document.createElement(name);
    made.textContent = text;
    made.classList.add(...classes);
    return made;
  }

  function said(list) {
    return list.map(([name, value]) => `${name}: ${value}`).join("; ");
  }

  function answer(cell, hollow = cell.status === "documented") {
    if (cell.group === null) {
      return make("span", cell.status === "unknown" ? "not known" : cell.answer, "answer", "no-answer");
    }
    const at = Math.min(cell.group, FULL.length - 1);
    return make("span", `${(hollow ? HOLLOW : FULL)[at]} ${cell.answer}`, "answer",
      `answer-${at}`, ...(hollow ? ["documented"] : []));
  }

  // Platforms by what they answer: the rarest first, and last those of which nothing is known.
  function grouped(fact) {
    const found = new Map();
    fact.cells.forEach((cell, at) => {
      const key = cell.group ?? cell.status;
      found.set(key, [...(found.get(key) || []), at]);
    });
    const rank = (key) => (typeof key === "number" ? -key : 1);
    return [...found].sort(([a], [b]) => rank(a) - rank(b)).map(([, places]) => places);
  }

  function answerGroup(fact, places) {
    const made = make("section", "", "group");
    const cells = places.map((at) => fact.cells[at]);
    const title = make("h3", places.length === 1 ? "This one: " : `These ${places.length}: `);
    title.append(answer(cells[0], cells.every((cell) => cell.status === "documented")));
    const names = make("p", "", "names");
    places.forEach((at, each) => {
      const documented = fact.cells[at].status === "documented" ? " (documented)" : "";
      names.append(each ? ", " : "", make("span", columns[at].name + documented));
    });
    made.append(title, names);
    for (const at of places) {
      const cell = fact.cells[at];
      if (cell.reason) made.append(make("p", `${columns[at].name}: ${cell.reason}`));
      if (cell.breaks) {
        made.append(make("p", `! ${columns[at].name}: documented for ${said([cell.promise])}`,
          "breaks"));
      }
    }
    const more = document.createElement("details");
    const list = make("ul", "", "evidence");
    list.append(...places.map((at) => evidence(fact.cells[at], columns[at])));
    more.append(make("summary", "Where this is from"), list);
    made.append(more);
    return made;
  }

  // How long ago this host was measured, as of now: the page may be old.
  function ago(column) {
    const seconds = (Date.now() - Date.parse(column.measured_at)) / 1000;
    if (column.kind !== "measured here" || !(seconds >= 0)) return "";
    const [unit, length] = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]]
      .find(([, each]) => seconds >= each) || ["second", 1];
    const told = new Intl.RelativeTimeFormat("en").format(-Math.floor(seconds / length), unit);
    return ` (${told})`;
  }

  function evidence(cell, column) {
    const item = document.createElement("li");
    const kind = { "measured here": "here", "documented only": "manual" }[column.kind];
    item.append(make("span", column.name, "name"), " ",
      make("span", column.where, "kind", kind || "recorded"));
    const measured = column.kind !== "documented only";
    if (cell.status === "documented") {
      item.append(make("p", `Documented for ${cell.promise[0]}, not measured: see the reference.`));
    } else if (cell.status === "unknown") {
      item.append(make("p", measured ? "Its report has no such fact."
        : "Not measured, and no manual of it was read on this."));
    } else {
      item.append(make("p", ["Measured", column.measured_at && `at ${column.measured_at}${ago(column)}`,
        column.way && `by ${column.way}`, `on ${column.description}`].filter(Boolean).join(" ")));
    }
    for (const [version, text, reason] of cell.parts || []) {
      item.append(make("p", [`Python ${version}: ${text}`, reason].filter(Boolean).join(": ")));
    }
    if (cell.raw) item.append(make("p", `Sample: ${cell.raw}`));
    if (measured && cell.promise && !cell.breaks) {
      item.append(make("p", `Documented for ${said([cell.promise])}`));
    }
    return item;
  }

  function references(fact) {
    const made = make("p", "");
    for (const [text, to] of fact.reference) {
      const piece = make(to ? "a" : "span", text);
      if (to) [piece.href, piece.rel, piece.target] = [to, "noreferrer", "_blank"];
      made.append(piece);
    }
    return made;
  }

  function fill(fact) {
    element("which").textContent = `${fact.id} · ${fact.scope}`;
    element("question").textContent = fact.question;
    const told = element("told");
    told.replaceChildren(...grouped(fact).map((places) => answerGroup(fact, places)));
    for (const [title, text] of [["Why it matters", fact.matters], ["What to do", fact.advice]]) {
      if (text) told.append(make("h3", title), make("p", text));
    }
    if (fact.reference.length) told.append(make("h3", "Reference"), references(fact));
    if (fact.documented.length) {
      told.append(make("h3", "Documented"), make("p", said(fact.documented)));
    }
  }

  function showFact(before) {
    const at = place.get(state.fact);
    if (at === undefined) {
      if (state.fact) element("count").textContent = `There is no fact ${state.fact}.`;
      if (panel.open) panel.close();
      document.title = TITLE;
      const was = place.get(before);
      if (was !== undefined) (listedLinks[listed.indexOf(was)] || search).focus();
      return;
    }
    if (state.fact !== before || !panel.open) {
      fill(facts[at]);
      document.title = `${state.fact} · ${TITLE}`;
      if (!panel.open) panel.showModal();
      panel.scrollTop = 0;
      const around = neighbours();
      element("previous").disabled = !around[0];
      element("next").disabled = !around[1];
      if (!before || document.activeElement.disabled) element("question").focus();
    }
  }

  // The facts before and after the one that is open, among those seen.
  function neighbours() {
    const at = place.get(state.fact);
    const seen = listed.includes(at) ? listed : [...listed, at].sort((a, b) => a - b);
    const here = seen.indexOf(at);
    return [facts[seen[here - 1]], facts[seen[here + 1]]];
  }

  function turn(direction) {
    const next = neighbours()[direction];
    if (next) go({ fact: next.id });
  }

  // What a user does ---------------------------------------------------------------------

  // One step of the history for all that is typed in one go.
  let typing = false;
  search.addEventListener("input", () => {
    go({ q: search.value }, typing);
    typing = true;
  });
  search.addEventListener("change", () => { typing = false; });
  family.addEventListener("change", () => go({ family: family.value }));
  differs.addEventListener("change", () => go({ all: !differs.checked }));
  element("filters").addEventListener("submit", (event) => event.preventDefault());
  for (const each of ticks) each.addEventListener("change", () => keep((_, at) => ticks[at].checked));
  element("all").addEventListener("click", () => keep(() => true));
  element("none").addEventListener("click", () => keep(() => false));
  element("measured").addEventListener("click",
    () => keep((column) => column.kind !== "documented only"));
  element("reset").addEventListener("click", () => {
    go({ q: "", family: "", view: "platforms", all: true });
    search.focus();
  });
  const choose = (start, end) => go({ from: columns[start].name, to: columns[end].name });
  for (const each of [from, to]) each.addEventListener("change", () => choose(from.value, to.value));
  element("swap").addEventListener("click", () => choose(to.value, from.value));

  function plainClick(event) {
    return !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  }

  for (const [id, view] of [["to-platforms", "platforms"], ["to-changes", "changes"]]) {
    element(id).addEventListener("click", (event) => {
      if (!plainClick(event)) return;
      event.preventDefault();
      go({ view, fact: "" });
    });
  }
  element("facts").addEventListener("click", (event) => {
    const opener = event.target.closest("[data-unfold]");
    if (opener) {
      links[rows.indexOf(opener.closest("tr"))].focus({ preventScroll: true });
      fold(systems.find(({ name }) => name === opener.dataset.unfold), false);
      return;
    }
    const row = event.target.closest("tr.fact"), link = event.target.closest("a");
    // A text that was just marked is about to be copied.
    if (!row || !plainClick(event) || !(link || getSelection().isCollapsed)) return;
    event.preventDefault();
    go({ fact: row.id || row.dataset.fact });
  });
  element("previous").addEventListener("click", () => turn(0));
  element("next").addEventListener("click", () => turn(1));
  element("close").addEventListener("click", () => go({ fact: "" }));
  panel.addEventListener("cancel", (event) => {
    event.preventDefault();
    go({ fact: "" });
  });
  // A browser may close it without asking.
  panel.addEventListener("close", () => { if (place.has(state.fact) && !panel.open) go({ fact: "" }); });
  panel.addEventListener("click", (event) => { if (event.target === panel) go({ fact: "" }); });
  window.addEventListener("popstate", () => {
    const before = state;
    state = read();
    typing = false;
    show(before);
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const within = document.activeElement;
    if (panel.open) {
      if (event.key === "ArrowLeft") turn(0);
      else if (event.key === "ArrowRight") turn(1);
      return;
    }
    const platforms = element("platforms");
    if (event.key === "Escape" && platforms.open) {
      platforms.open = false;
      platforms.firstElementChild.focus();
    } else if (event.key === "/" && !within.matches("input, select")) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (within === search || listedLinks.includes(within)) {
      const at = listedLinks.indexOf(within), last = listedLinks.length - 1;
      const next = { ArrowDown: Math.min(at + 1, last), ArrowUp: at - 1,
        ...(at < 0 ? {} : { Home: 0, End: last }) }[event.key];
      if (next === undefined || (at < 0 && event.key !== "ArrowDown")) return;
      event.preventDefault();
      (listedLinks[next] || search).focus();
    }
  });
  document.addEventListener("click", (event) => {
    const platforms = element("platforms");
    if (platforms.open && !platforms.contains(event.target)) platforms.open = false;
  });

  element("filters").hidden = element("views").hidden = false;
  state = read();
  show({});
})();
