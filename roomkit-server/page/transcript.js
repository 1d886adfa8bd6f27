/** The conversation as bubbles: partials grow in place, a final replaces them. Rows of other kinds stand between them. */

/** A room that is watched for days says more than a browser can draw. */
const MOST_ROWS = 1000;

const NAMES = { user: "You", assistant: "Assistant", system: "System" };

export class Transcript {
  #list;
  #empty;
  #announcer;
  #isHeard;
  /** Bubbles that wait for their final, in order of appearance. */
  #open = [];
  /** Bubbles of what was typed, oldest first, until it comes back as said. */
  #typed = [];

  /**
   * @param {{ list: Element, empty: Element, announcer: Element, isHeard: () => boolean }} options `isHeard` where what
   *   is shown is heard as well
   */
  constructor({ list, empty, announcer, isHeard }) {
    this.#list = list;
    this.#empty = empty;
    this.#announcer = announcer;
    this.#isHeard = isHeard;
  }

  /**
   * @param {{ session_id: string, role: string, text: string, is_final: boolean, item_id?: string, interrupted?: boolean }} transcription
   * @param {string} [name] what the speaker is called, if not as in one's own call
   */
  show({ session_id: session, role, text, is_final: isFinal, item_id: item, interrupted }, name = NAMES[role] ?? role) {
    const isTyped = role === "user" && isFinal && !item;
    if (isTyped && this.#confirm(session, text)) {
      return;
    }
    if (isFinal && text === "" && !interrupted) {
      // No final comes for what is half said there.
      const voided = this.#open.filter((bubble) => isOf(bubble, session, role) && bubble.item === item);
      voided.forEach((bubble) => this.#discard(bubble));
      return;
    }
    const found = this.#open.find(
      (bubble) => isOf(bubble, session, role) && (!item || !bubble.item || bubble.item === item),
    );
    const bubble = found ?? this.#add(role, name, session, item);
    if (isFinal) {
      this.#close(bubble);
      this.#finish(bubble, text, interrupted);
    } else {
      bubble.words.append(text);
    }
    this.#keepInView(bubble.element);
  }

  /** Shows what the person typed as on its way: it is said once it comes back as a final. */
  showTyped(text) {
    const bubble = this.#add("user", NAMES.user);
    this.#close(bubble);
    bubble.words.textContent = text;
    bubble.element.classList.add("pending");
    this.#typed.push(bubble);
    this.#keepInView(bubble.element);
  }

  /** The server does not take what was typed last. @returns {string | undefined} what that was */
  takeBackTyped() {
    const bubble = this.#typed.pop();
    bubble?.element.remove();
    return bubble?.words.textContent;
  }

  /** A line across the conversation, such as the end of a call. */
  showNote(text) {
    this.append(element("li", "note", text));
  }

  /**
   * Puts in a row of another kind.
   *
   * @param {Element} row
   * @param {Element} [after] the row that it comes after, if not the last
   */
  append(row, after = this.#list.lastElementChild) {
    this.#empty.hidden = true;
    if (after) {
      after.after(row);
    } else {
      this.#list.append(row);
    }
    this.#keepInView(row);
  }

  /** The latest bubble of this role. */
  latest(role) {
    return [...this.#list.querySelectorAll(`.bubble[data-role="${role}"]`)].at(-1);
  }

  /** Has a screen reader say it, to who does not hear the call: over the voice, and into the microphone, it would talk. */
  announce(text) {
    if (!this.#isHeard()) {
      this.#announcer.textContent = text;
    }
  }

  /**
   * Takes away what this speaker of a session has half said, because it will be heard once more.
   *
   * @param {string} session
   * @param {string} role
   * @param {string} [kept] the item that stays, as does what belongs to none
   */
  forget(session, role, kept) {
    for (const bubble of this.#open.filter((one) => isOf(one, session, role))) {
      if (!kept || (bubble.item && bubble.item !== kept)) {
        this.#discard(bubble);
      }
    }
  }

  /** Takes away all that is half said: its end may never be heard. */
  forgetAll() {
    this.#open.forEach((bubble) => this.#discard(bubble));
  }

  /** Nothing more comes: what has no final by now was not said, or is not to be shown. */
  settle() {
    this.forgetAll();
    for (const { element: row } of this.#typed) {
      row.classList.remove("partial", "pending");
      row.append(element("span", "mark", "not delivered"));
    }
    this.#typed = [];
  }

  /** A final of the user's without an item may be what was typed, as hooks have left it. */
  #confirm(session, text) {
    const same = this.#typed.findIndex(({ words }) => words.textContent === text);
    const isSpoken = this.#open.some((bubble) => isOf(bubble, session, "user") && !bubble.item);
    if (same < 0 && (isSpoken || this.#typed.length === 0)) {
      return false;
    }
    // What is typed comes back in order: what was typed before this does not come any more.
    const passed = this.#typed.splice(0, Math.max(same, 0) + 1);
    const bubble = text === "" ? undefined : passed.pop();
    passed.forEach(({ element: row }) => row.remove());
    if (bubble) {
      bubble.element.classList.remove("pending");
      this.#finish(bubble, text, false);
    }
    return true;
  }

  #add(role, name, session, item) {
    const bubble = { role, name, session, item, element: element("li", "bubble"), words: element("p", "words") };
    bubble.element.dataset.role = role;
    bubble.element.classList.add("partial");
    bubble.element.append(element("span", "who", name), bubble.words);
    this.append(bubble.element);
    this.#open.push(bubble);
    return bubble;
  }

  #close(bubble) {
    this.#open = this.#open.filter((other) => other !== bubble);
  }

  #discard(bubble) {
    this.#close(bubble);
    bubble.element.remove();
  }

  #finish({ name, element: row, words }, text, interrupted) {
    words.textContent = text;
    row.classList.remove("partial");
    if (interrupted) {
      row.classList.add("interrupted");
      row.append(element("span", "mark", "interrupted"));
    }
    // Finals only: a screen reader that re-reads every partial would never get to the end of one.
    this.announce(`${name}: ${text}`);
  }

  /** Follows the newest words, and drops the oldest rows, unless the reader has scrolled away from the end. */
  #keepInView(row) {
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    if (scrollHeight - scrollTop - clientHeight < row.offsetHeight + 80) {
      this.#dropOldest();
      this.#list.scrollTop = scrollHeight;
    }
  }

  #dropOldest() {
    while (this.#list.childElementCount > MOST_ROWS) {
      const row = this.#list.firstElementChild;
      const isElsewhere = (bubble) => bubble.element !== row;
      this.#open = this.#open.filter(isElsewhere);
      this.#typed = this.#typed.filter(isElsewhere);
      row.remove();
    }
  }
}

/** Items are those of their session: two callers may have one of the same id, or none at all. */
function isOf(bubble, session, role) {
  return bubble.session === session && bubble.role === role;
}

/** A new element with class and text; text is never read as HTML. */
export function element(tag, className = "", text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}
