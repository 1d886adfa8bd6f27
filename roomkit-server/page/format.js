/** Numbers as the page writes them. */

/** What stands where nothing is known. */
export const NOTHING = "–";

export function milliseconds(value) {
  return value === undefined ? NOTHING : `${value < 1 ? "< 1" : Math.round(value)} ms`;
}

/** @param {number} value in milliseconds */
export function seconds(value) {
  return `${(value / 1000).toFixed(value < 9950 ? 1 : 0)} s`;
}

/** @param {number} share 0 to 1 */
export function percent(share) {
  return `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
}

export function count(value) {
  return value.toLocaleString("en");
}
