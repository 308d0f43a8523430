"use strict";
// A fact's address is the page's own with #id: opening one is going there, so that links,
// back and forward need nothing more.
(() => {
  const element = (id) => document.getElementById(id);
  const { columns, facts } = JSON.parse(element("data").textContent);
  const FULL = "●◆▲■★", HOLLOW = "○◇△□☆";
  const place = new Map(facts.map((fact, at) => [fact.id, at]));
  const rows = [...document.querySelectorAll("tr.fact")];
  const links = rows.map((row) => row.querySelector("a"));
  const families = [...document.querySelectorAll("tbody")];
  const ticks = [...document.querySelectorAll("#platforms input")];
  const words = facts.map((fact) =>
    [fact.id, fact.question, fact.matters, fact.advice, fact.reference,
      ...fact.cells.map((cell) => cell.answer)].join("\n").toLowerCase());
  const search = element("search"), family = element("family"), differs = element("differs");
  const panel = element("panel");
  let opened = null;

  // Which rows and columns are seen ------------------------------------------------------

  function isDifferent(fact, seen) {
    if (fact.scope === "informative") return false;
    const answers = fact.cells.map((cell) => cell.group)
      .filter((group, at) => group !== null && seen[at]);
    return new Set(answers).size > 1;
  }

  function filter() {
    const seen = ticks.map((tick) => tick.checked);
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0, alike = 0;
    facts.forEach((fact, at) => {
      const matches = wanted.every((word) => words[at].includes(word)) &&
        (!family.value || fact.id.startsWith(family.value + "."));
      const visible = matches && (!differs.checked || isDifferent(fact, seen));
      rows[at].hidden = !visible;
      shown += visible;
      alike += matches && !visible;
    });
    for (const body of families) body.hidden = !body.querySelector("tr.fact:not([hidden])");
    const number = seen.filter(Boolean).length;
    element("shown").textContent = `(${number} of ${columns.length})`;
    element("count").textContent = `${shown} of ${facts.length} facts` +
      (alike ? `; ${alike} more that match differ nowhere on these platforms` : "");
    element("nothing").hidden = shown > 0;
    element("nothing").firstElementChild.textContent = alike
      ? `What matches is the same wherever it is known (${alike}).` : "No fact matches.";
    element("grid").hidden = shown === 0;
  }

  function showColumns() {
    for (const cell of document.querySelectorAll("#grid [data-column]")) {
      cell.hidden = !ticks[cell.dataset.column].checked;
    }
    filter();
  }

  function tick(which) {
    ticks.forEach((each, at) => { each.checked = which(columns[at]); });
    showColumns();
  }

  function visibleLinks() {
    return links.filter((_, at) => !rows[at].hidden);
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

  function evidence(cell, column) {
    const item = document.createElement("li");
    const first = make("div", "", "first");
    const documented = cell.status === "documented", known = cell.group !== null;
    const at = Math.min(cell.group, FULL.length - 1);
    const shape = known ? `${(documented ? HOLLOW : FULL)[at]} ` : "";
    const answer = make("span", shape + cell.answer, "answer",
      known ? `answer-${at}` : "no-answer", ...(documented ? ["documented"] : []));
    const kind = { "measured here": "here", "documented only": "manual" }[column.kind];
    first.append(make("span", column.name, "name"), answer,
      make("span", column.kind, "kind", kind || "recorded"));
    item.append(first);
    const measured = column.kind !== "documented only";
    if (documented) {
      item.append(make("p", `Documented for ${cell.promise[0]}, not measured: see the reference.`));
    } else if (cell.status === "unknown") {
      item.append(make("p", measured ? "Its report has no such fact."
        : "Not measured, and no manual of it was read on this."));
    }
    if (measured && cell.status !== "unknown") {
      item.append(make("p", ["Measured", column.measured_at && `at ${column.measured_at}`,
        column.way && `by ${column.way}`, `on ${column.description}`].filter(Boolean).join(" ")));
    }
    if (cell.reason) item.append(make("p", `${cell.status}: ${cell.reason}`));
    if (cell.raw) item.append(make("p", `Sample: ${cell.raw}`));
    if (cell.breaks) {
      item.append(make("p", `! Documented for ${said([cell.promise])}`, "breaks"));
    } else if (measured && cell.promise) {
      item.append(make("p", `Documented for ${said([cell.promise])}`));
    }
    return item;
  }

  function fill(fact) {
    element("which").textContent = `${fact.id} · ${fact.scope}`;
    element("question").textContent = fact.question;
    const told = element("told");
    told.replaceChildren();
    for (const [title, text] of [["Why it matters", fact.matters], ["Advice", fact.advice],
      ["Reference", fact.reference], ["Documented", said(fact.documented)]]) {
      if (text) told.append(make("h3", title), make("p", text));
    }
    const list = make("ul", "", "evidence");
    list.append(...fact.cells.map((cell, at) => evidence(cell, columns[at])));
    told.append(make("h3", "Platforms"), list);
  }

  function open(fact) {
    opened = fact.id;
    fill(fact);
    document.title = `${fact.id} · Atlas of system calls`;
    if (!panel.open) {
      panel.showModal();
      element("question").focus();
    }
    panel.scrollTop = 0;
    const around = neighbours();
    element("previous").disabled = !around[0];
    element("next").disabled = !around[1];
    if (!panel.contains(document.activeElement) || document.activeElement.disabled) {
      element("question").focus();
    }
  }

  // The facts before and after the one that is open, among those seen.
  function neighbours() {
    const at = place.get(opened);
    const seen = facts.filter((fact, each) => !rows[each].hidden || each === at);
    const here = seen.findIndex((fact) => fact.id === opened);
    return [seen[here - 1], seen[here + 1]];
  }

  function turn(direction) {
    const to = neighbours()[direction];
    if (to) location.hash = to.id;
  }

  // At once and not with the event alone, which comes later: "back" may be pressed in between.
  function close() {
    panel.close();
    closed();
  }

  function closed() {
    if (opened === null || panel.open) return;
    const at = place.get(opened);
    opened = null;
    document.title = "Atlas of system calls";
    if (named()) history.pushState(null, "", location.href.split("#")[0]);
    if (at !== undefined) (rows[at].hidden ? search : links[at]).focus();
  }

  // The id in the address.
  function named() {
    try {
      return decodeURIComponent(location.hash.slice(1));
    } catch {
      return location.hash.slice(1);
    }
  }

  function route() {
    const at = place.get(named());
    if (at !== undefined) open(facts[at]);
    else if (panel.open) close();
    if (at === undefined && named()) {
      element("count").textContent = `There is no fact ${named()}.`;
    }
  }

  // What a user does ---------------------------------------------------------------------

  search.addEventListener("input", filter);
  family.addEventListener("change", filter);
  differs.addEventListener("change", filter);
  element("filters").addEventListener("submit", (event) => event.preventDefault());
  for (const each of ticks) each.addEventListener("change", showColumns);
  element("all").addEventListener("click", () => tick(() => true));
  element("none").addEventListener("click", () => tick(() => false));
  element("measured").addEventListener("click",
    () => tick((column) => column.kind !== "documented only"));
  element("reset").addEventListener("click", () => {
    search.value = family.value = "";
    differs.checked = false;
    filter();
    search.focus();
  });
  element("grid").addEventListener("click", (event) => {
    const row = event.target.closest("tr.fact");
    // A text that was just marked is about to be copied.
    if (row && !event.target.closest("a") && getSelection().isCollapsed) location.hash = row.id;
  });
  element("previous").addEventListener("click", () => turn(0));
  element("next").addEventListener("click", () => turn(1));
  element("close").addEventListener("click", close);
  panel.addEventListener("cancel", (event) => {
    event.preventDefault();
    close();
  });
  panel.addEventListener("close", closed);
  panel.addEventListener("click", (event) => { if (event.target === panel) close(); });
  window.addEventListener("hashchange", route);

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
    } else if (within === search || links.includes(within)) {
      const seen = visibleLinks(), at = seen.indexOf(within);
      const to = { ArrowDown: Math.min(at + 1, seen.length - 1), ArrowUp: at - 1,
        ...(at < 0 ? {} : { Home: 0, End: seen.length - 1 }) }[event.key];
      if (to === undefined || (at < 0 && event.key !== "ArrowDown")) return;
      event.preventDefault();
      (seen[to] || search).focus();
    }
  });
  document.addEventListener("click", (event) => {
    const platforms = element("platforms");
    if (platforms.open && !platforms.contains(event.target)) platforms.open = false;
  });

  showColumns();
  route();
})();
