/** The conversation as bubbles: partials grow in place, a final replaces them. Rows of other kinds stand between them. */

const NAMES = { user: "You", assistant: "Assistant", system: "System" };

export class Transcript {
  #list;
  #empty;
  #announcer;
  /** Bubbles that wait for their final, in order of appearance. */
  #open = [];
  /** Texts shown when they were typed, which the server may send back as a transcription. */
  #typed = [];

  constructor({ list, empty, announcer }) {
    this.#list = list;
    this.#empty = empty;
    this.#announcer = announcer;
  }

  /**
   * @param {{ session_id: string, role: string, text: string, is_final: boolean, item_id?: string, interrupted?: boolean }} transcription
   * @param {string} [name] what the speaker is called, if not as in one's own call
   */
  show({ session_id: session, role, text, is_final: isFinal, item_id: item, interrupted }, name = NAMES[role] ?? role) {
    const echoed = role === "user" && isFinal ? this.#typed.indexOf(text) : -1;
    if (echoed >= 0) {
      this.#typed.splice(echoed, 1);
      return;
    }
    const found = this.#open.find(
      (bubble) => isOf(bubble, session, role) && (!item || !bubble.item || bubble.item === item),
    );
    if (isFinal && found && text === "" && !interrupted) {
      this.#discard(found);
      return;
    }
    const bubble = found ?? this.#add(role, name, session, item);
    if (isFinal) {
      this.#close(bubble);
      this.#finish(bubble, text, interrupted);
    } else {
      bubble.words.append(text);
    }
    this.#keepInView(bubble.element);
  }

  /** Shows what the person typed at once; its echo as a transcription is not shown again. */
  showTyped(text) {
    const bubble = this.#add("user", NAMES.user);
    this.#close(bubble);
    this.#finish(bubble, text, false);
    this.#typed.push(text);
    this.#keepInView(bubble.element);
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

  /** Has a screen reader say it. */
  announce(text) {
    this.#announcer.textContent = text;
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

  /** No more words will come for what is open: it stays as far as it came. */
  settle() {
    for (const bubble of [...this.#open]) {
      this.#close(bubble);
      this.#finish(bubble, bubble.words.textContent, bubble.role === "assistant");
    }
    this.#typed = [];
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

  /** Follows the newest words unless the reader has scrolled away from the end. */
  #keepInView(row) {
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    if (scrollHeight - scrollTop - clientHeight < row.offsetHeight + 80) {
      this.#list.scrollTop = scrollHeight;
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
