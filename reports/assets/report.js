"use strict";
// Reading aids: a button that copies a command, and the values under the pointer or the arrow keys.
for (const box of document.querySelectorAll(".command")) {
  if (!navigator.clipboard) break;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(box.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  box.classList.add("can-copy");
  box.append(button);
}

// The charts of one run share their time axis, so they share the cursor.
for (const run of document.querySelectorAll("section.run")) {
  const charts = [...run.querySelectorAll("svg[data-points]")].map((svg) => {
    const points = JSON.parse(svg.dataset.points);
    const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
    cursor.setAttribute("class", "cursor");
    cursor.setAttribute("y1", points.top);
    cursor.setAttribute("y2", points.bottom);
    cursor.style.display = "none";
    svg.append(cursor);
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    svg.closest("figure").append(tip);
    return { svg, points, cursor, tip };
  });
  let at = -1;

  const hide = () => {
    at = -1;
    for (const chart of charts) {
      chart.cursor.style.display = "none";
      chart.tip.hidden = true;
    }
  };

  const show = (index) => {
    at = index;
    for (const { svg, points, cursor, tip } of charts) {
      const x = points.x[index];
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
      cursor.style.display = "";
      tip.replaceChildren();
      const head = document.createElement("b");
      head.textContent = points.t[index];
      tip.append(head);
      for (const line of points.lines) {
        if (line.values[index] === null) continue;
        tip.append(document.createElement("br"), `${line.name} ${line.values[index]}`);
      }
      tip.hidden = false;
      const figure = svg.closest("figure").getBoundingClientRect();
      const box = svg.getBoundingClientRect();
      const place = box.left - figure.left + x * box.width / svg.viewBox.baseVal.width;
      const right = place + 14 + tip.offsetWidth > figure.width;
      tip.style.left = `${right ? place - 14 - tip.offsetWidth : place + 14}px`;
      tip.style.top = `${box.top - figure.top + points.top * box.height / svg.viewBox.baseVal.height + 8}px`;
    }
  };

  for (const { svg, points } of charts) {
    const last = points.x.length - 1;
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
      let nearest = 0;
      points.x.forEach((place, index) => {
        if (Math.abs(place - x) < Math.abs(points.x[nearest] - x)) nearest = index;
      });
      show(nearest);
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) {
        event.preventDefault();
        show(Math.min(last, Math.max(0, at + step)));
      } else if (event.key === "Escape") {
        hide();
      }
    });
  }
}
