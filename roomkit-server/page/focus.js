/** Where the focus goes when what has it is disabled, hidden or taken away. It would be nowhere, and a keyboard begin anew. */

const TYPED_INTO = "input:not([type=checkbox]), textarea";

/** @param {() => void} change what may do so */
export function keepFocus(change) {
  const focused = document.activeElement;
  change();
  if (focused && (!focused.isConnected || focused.disabled || focused.closest("[hidden]"))) {
    // Who was typing hits some keys more, and a space must not begin a call: it goes to what is read there.
    const read = focused.matches(TYPED_INTO) && focused.closest(".card")?.querySelector("ol");
    (read || document.getElementById("toggle")).focus();
  }
}
