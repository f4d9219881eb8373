"use strict";
// The page is made by the server alone: here it is asked for again every second or two, and
// what has changed is put in place, so that the focus, a selection and what was typed stay.
(() => {
  const live = document.getElementById("live");
  const form = document.getElementById("filter");
  const show = (on, text) => {
    live.className = on ? "on" : "off";
    if (live.textContent !== text) live.textContent = text; // a reader says what has changed
  };

  // ask reads the page as a document: markup of strings is not made into elements anywhere.
  const ask = () => new Promise((done, fail) => {
    const call = new XMLHttpRequest();
    call.open("GET", location.pathname + location.search);
    call.responseType = "document";
    call.timeout = 5000;
    call.onload = () => (call.response?.querySelector("main") ? done(call.response) : fail());
    call.onerror = call.ontimeout = call.onabort = () => fail();
    call.send();
  });

  const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.dataset?.key || node.id : "");
  const alike = (a, b) => a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
  const attributes = (now, next) => {
    for (const { name } of [...now.attributes]) {
      if (name !== "open" && !next.hasAttribute(name)) now.removeAttribute(name);
    }
    for (const { name, value } of next.attributes) {
      if (now.getAttribute(name) !== value) now.setAttribute(name, value);
    }
  };

  // become makes a node like the next one. Elements with a key are the same ones wherever they are.
  const become = (now, next) => {
    if (now.nodeType !== Node.ELEMENT_NODE) {
      if (now.nodeValue !== next.nodeValue) now.nodeValue = next.nodeValue;
      return;
    }
    attributes(now, next);
    const kept = new Set([...next.children].map(keyOf));
    for (const child of [...now.children]) if (!kept.has(keyOf(child))) child.remove();
    let at = now.firstChild;
    for (const child of [...next.childNodes]) {
      let found = at;
      while (found && !alike(found, child)) found = found.nextSibling;
      while (found && at !== found && !keyOf(at)) {
        const gone = at;
        at = at.nextSibling;
        gone.remove();
      }
      if (!found) {
        now.insertBefore(document.adoptNode(child), at);
        continue;
      }
      if (found === at) at = at.nextSibling;
      else now.insertBefore(found, at);
      become(found, child);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  };

  // A log that is shown to its end goes on to be.
  const atEnd = (log) => log.scrollHeight - log.scrollTop - log.clientHeight < 4;
  let since;
  let last = 0;
  const refresh = async () => {
    const turn = ++last;
    try {
      const next = await ask();
      if (turn !== last) return; // a later question was asked
      const ended = [...document.querySelectorAll("pre")].filter(atEnd);
      become(document.querySelector("main"), next.querySelector("main"));
      for (const log of ended) log.scrollTop = log.scrollHeight;
      document.title = next.title;
      since = undefined;
      show(true, "live");
    } catch {
      if (turn !== last) return;
      since ??= new Date();
      show(false, "no answer since " + since.toLocaleTimeString());
    }
  };
  const loop = async () => {
    if (!document.hidden) await refresh();
    setTimeout(loop, Number(document.querySelector("main").dataset.every) || 1000);
  };

  // The list follows what is typed; the address is what the form would lead to.
  let typed;
  form?.addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(() => {
      const wish = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
      history.replaceState(null, "", location.pathname + (wish.size ? "?" + wish : ""));
      refresh();
    }, 200);
  });

  for (const log of document.querySelectorAll("pre")) log.scrollTop = log.scrollHeight;
  show(true, "live");
  setTimeout(loop, 1000);
})();
