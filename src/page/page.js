'use strict';

// A report filters what it has; a served page is filtered by its server.
(() => {
  const form = document.getElementById('filter');
  if (!form || !form.hidden) return;
  const sections = new Map();
  for (const section of document.querySelectorAll('[data-series]')) {
    sections.set(section.id, { section, text: section.textContent.toLowerCase() });
  }
  const result = document.getElementById('filter-result');
  const apply = () => {
    const words = form.elements.q.value.toLowerCase().split(/\s+/).filter(Boolean);
    const state = form.elements.state.value;
    let shown = 0;
    const isShown = ({ section, text }) =>
      (!state || section.dataset.series === state) && words.every((word) => text.includes(word));
    for (const entry of sections.values()) {
      entry.section.hidden = !isShown(entry);
      shown += entry.section.hidden ? 0 : 1;
    }
    for (const part of document.querySelectorAll('[data-for]')) {
      const entry = sections.get(part.dataset.for);
      part.hidden = Boolean(entry) && entry.section.hidden;
    }
    for (const row of document.querySelectorAll('.matrix tbody tr')) {
      row.hidden = !row.querySelector('.cell:not([hidden])');
    }
    result.textContent = words.length || state ? `${shown} of ${sections.size} shown` : '';
  };
  form.hidden = false;
  form.addEventListener('input', apply);
  form.addEventListener('submit', (event) => event.preventDefault());
  apply();
})();

// A link to a patch opens it.
(() => {
  const open = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === 'DETAILS') target.open = true;
  };
  addEventListener('hashchange', open);
  open();
})();

// A served page is told that something changed, fetches itself, and takes over the parts that differ.
(() => {
  const address = document.body.dataset.events;
  if (!address || !window.EventSource) return;
  const note = document.getElementById('live');
  let isFetching = false;
  let isStale = false;
  const replace = (now, next) => {
    const parts = (root) => new Map([...root.querySelectorAll('[data-part]')].map((part) => [part.id, part]));
    const [old, fresh] = [parts(now), parts(next)];
    const isSame = old.size > 0 && old.size === fresh.size && [...fresh.keys()].every((id) => old.has(id));
    if (!isSame) {
      for (const details of next.querySelectorAll('details[id]')) {
        details.open = document.getElementById(details.id)?.open ?? details.open;
      }
      if (!now.isEqualNode(next)) now.replaceChildren(...next.childNodes);
      return;
    }
    const [title, then] = [now.querySelector('h1'), next.querySelector('h1')];
    if (title && then) title.textContent = then.textContent;
    for (const [id, part] of fresh) {
      const before = old.get(id);
      if (before.isEqualNode(part)) continue;
      const hasFocus = before.contains(document.activeElement);
      before.replaceWith(part);
      if (hasFocus) (part.matches('a, [tabindex]') ? part : part.querySelector('a, [tabindex]'))?.focus();
    }
  };
  const refresh = async () => {
    if (isFetching) {
      isStale = true;
      return;
    }
    isFetching = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: 'text/html' }, cache: 'no-store' });
      if (!answer.ok) {
        if (note) note.textContent = 'no longer live: load the page again';
        return;
      }
      const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
      const [now, then] = [document.getElementById('main'), next.getElementById('main')];
      if (now && then) replace(now, then);
      if (note) note.textContent = 'live: changes are shown as they come';
    } catch {
      if (note) note.textContent = 'the server cannot be reached; trying again';
    } finally {
      isFetching = false;
      if (isStale) {
        isStale = false;
        setTimeout(refresh, 500);
      }
    }
  };
  const events = new EventSource(address);
  events.addEventListener('open', refresh);
  events.addEventListener('changed', refresh);
  events.addEventListener('error', () => {
    if (note) note.textContent = 'the server cannot be reached; trying again';
  });
})();
