/** Whether the call is recorded, and the button with which the person lets it be. */

const LABELS = { off: "Record this call", paused: "Resume recording", on: "Pause recording" };
const WORDS = {
  on: "Recording",
  paused: "Recording is paused",
  failed: "Recording failed: nothing is kept any more",
};

export class RecordingControl {
  #button;
  #label;
  #hint;
  #indicator;
  /** What the server said last: on, paused or off; undefined where it records nothing. */
  #state;
  /** False once the server has said that it is not for the person to decide. */
  #mayDecide = true;
  #failed = false;

  /** @param {(on: boolean) => void} ask asks the server for it */
  constructor({ button, label, hint, indicator }, ask) {
    this.#button = button;
    this.#label = label;
    this.#hint = hint;
    this.#indicator = indicator;
    button.addEventListener("click", () => ask(this.#state !== "on"));
  }

  /** @param {"on" | "paused" | "off"} state as the server says it */
  show(state) {
    // What was on is off only because it went wrong, and then cannot be begun again.
    this.#failed ||= state === "off" && (this.#state === "on" || this.#state === "paused");
    this.#state = state;
    this.#draw();
  }

  /** The server decides by itself. */
  refuse() {
    this.#mayDecide = false;
    this.#draw();
  }

  /** There is no call, or one of which nothing is known. */
  clear() {
    this.#state = undefined;
    this.#mayDecide = true;
    this.#failed = false;
    this.#draw();
  }

  #draw() {
    const state = this.#state;
    const offered = state !== undefined && this.#mayDecide && !this.#failed;
    this.#button.hidden = !offered;
    this.#button.dataset.state = state ?? "";
    this.#label.textContent = LABELS[state] ?? "";
    this.#hint.hidden = !offered || state !== "off";
    const shown = this.#failed ? "failed" : state;
    this.#indicator.dataset.state = shown ?? "";
    this.#indicator.textContent = WORDS[shown] ?? "";
    this.#indicator.hidden = !(shown in WORDS);
  }
}
