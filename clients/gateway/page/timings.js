// The table with the times of a request.

import { element, make } from "./elements.js";

// In the order of the table; other times are shown with their names in the answer.
const NAMES = {
  round_trip_ms: "Total, measured here",
  total_ms: "of which the gateway",
  read_ms: "reading the upload",
  queue_ms: "waiting for a turn",
  triton_ms: "Triton, finding and naming",
};
const WHOLES = ["round_trip_ms", "total_ms"];

/** Shows each time with a bar; `roundTrip` is the browser's measurement in milliseconds. */
export function showTimings(timings, roundTrip) {
  const all = { round_trip_ms: roundTrip, ...timings };
  const order = Object.keys(NAMES);
  const rank = (key) => (order.includes(key) ? order.indexOf(key) : order.length);
  const stages = Object.entries(all)
    .filter(([, value]) => typeof value === "number" && Number.isFinite(value))
    .sort(([one], [other]) => rank(one) - rank(other));
  const longest = Math.max(...stages.map(([, value]) => value), 1e-3);
  element("timings").replaceChildren(
    ...stages.map(([key, value]) => {
      const bar = make("span", { className: "bar" });
      bar.style.width = `${(value / longest) * 100}%`;
      const name = NAMES[key] ?? key.replace(/_ms$/, "").replaceAll("_", " ");
      const row = { className: WHOLES.includes(key) ? "whole" : "part" };
      return make("tr", row, make("th", { scope: "row" }, name, bar), make("td", {}, `${value.toFixed(1)} ms`));
    }),
  );
}
