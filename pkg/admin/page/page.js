"use strict";
// The page is made by the server alone: here it is asked for again every second,
// and what has changed is put in place.
(() => {
  const live = document.getElementById("live");
  const show = (on, text) => { live.className = on ? "on" : "off"; live.textContent = text; };
  let since;
  const refresh = async () => {
    try {
      const answer = await fetch(".", { cache: "no-store", signal: AbortSignal.timeout(5000) });
      if (!answer.ok) throw new Error(String(answer.status));
      const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
      const now = document.querySelector("main");
      if (next && next.innerHTML !== now.innerHTML) now.replaceWith(document.adoptNode(next));
      since = undefined;
      show(true, "live");
    } catch {
      since ??= new Date();
      show(false, "no answer since " + since.toLocaleTimeString());
    }
  };
  const loop = async () => {
    if (!document.hidden) await refresh();
    setTimeout(loop, 1000);
  };
  show(true, "live");
  setTimeout(loop, 1000);
})();
