// Filters the operations and the problem codes as one types; opens what a link points at. Nothing is fetched.
"use strict";
const find = document.getElementById("find");
const rows = [...document.querySelectorAll(".operation, .problems tbody tr")].map((node) => ({ node, text: node.textContent.toLowerCase() }));

function filter() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const { node, text } of rows) {
    node.hidden = !words.every((word) => text.includes(word));
    shown += node.hidden ? 0 : 1;
  }
  for (const group of document.querySelectorAll(".group")) {
    group.hidden = ![...group.querySelectorAll(".operation")].some((node) => !node.hidden);
  }
  document.getElementById("none").hidden = shown > 0;
}

function open() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") target.open = true;
}

find.addEventListener("input", filter);
addEventListener("hashchange", open);
open();
