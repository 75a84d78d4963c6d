// Shows the values nearest to the pointer, or to the arrow keys; the plots themselves are drawn already.
"use strict";
const tip = document.getElementById("tip");

const line = (cls, name, value) => {
  const row = document.createElement("div");
  for (const [kind, text] of [[`swatch ${cls}`, ""], ["name", name], ["value", value]]) {
    const part = document.createElement("span");
    part.className = kind;
    part.textContent = text;
    row.append(part);
  }
  return row;
};

const hide = () => {
  tip.hidden = true;
  document.querySelectorAll(".plot.on").forEach((plot) => plot.classList.remove("on"));
};

const prepare = (plot) => {
  const points = JSON.parse(plot.querySelector("script").textContent);
  const cursor = plot.querySelector(".cursor");
  let at = -1;
  if (!points.length) return;

  const show = (index) => {
    at = Math.max(0, Math.min(points.length - 1, index));
    const [x, title, rows] = points[at];
    const heading = document.createElement("strong");
    heading.textContent = title;
    tip.replaceChildren(heading, ...rows.map((row) => line(...row)));
    hide();
    tip.hidden = false;
    plot.classList.add("on");
    cursor.setAttribute("x1", `${x}%`);
    cursor.setAttribute("x2", `${x}%`);
    const box = plot.getBoundingClientRect();
    const wanted = box.left + (box.width * x) / 100 - tip.offsetWidth / 2;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${Math.max(8, Math.min(room, wanted)) + scrollX}px`;
    tip.style.top = `${(above > 0 ? above : box.bottom + 8) + scrollY}px`;
  };
  const nearest = (event) => {
    const box = plot.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 100;
    const far = points.map((point) => Math.abs(point[0] - x));
    show(far.indexOf(Math.min(...far)));
  };
  const go = () => points[at]?.[3] && (location.hash = points[at][3]);
  const keys = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

  plot.addEventListener("pointermove", nearest);
  plot.addEventListener("pointerdown", nearest);
  plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
  plot.addEventListener("click", (event) => event.pointerType === "mouse" && go());
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    if (event.key in keys) show(at + keys[event.key]);
    else if (event.key === "Enter") go();
    else if (event.key === "Escape") hide();
    else return;
    event.preventDefault();
  });
};

const unfold = () => {
  const wanted = document.getElementById(location.hash.slice(1));
  for (let part = wanted?.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
  wanted?.scrollIntoView();
};

document.querySelectorAll("[data-plot]").forEach(prepare);
addEventListener("hashchange", unfold);
if (location.hash) unfold();
