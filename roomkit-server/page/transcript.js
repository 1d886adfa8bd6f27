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
   * @param {{ role: string, text: string, is_final: boolean, item_id?: string, interrupted?: boolean }} transcription
   * @param {string} [name] what the speaker is called, if not as in one's own call
   */
  show({ role, text, is_final: isFinal, item_id: item, interrupted }, name = NAMES[role] ?? role) {
    const echoed = role === "user" && isFinal ? this.#typed.indexOf(text) : -1;
    if (echoed >= 0) {
      this.#typed.splice(echoed, 1);
      return;
    }
    const found = this.#open.find(
      (bubble) => bubble.role === role && (!item || !bubble.item || bubble.item === item),
    );
    if (isFinal && found && text === "" && !interrupted) {
      this.#close(found);
      found.element.remove();
      return;
    }
    const bubble = found ?? this.#add(role, name, item);
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
   * Takes away what this speaker has half said, because it will be heard once more.
   *
   * @param {string} role
   * @param {string} [kept] the item that stays, as does what belongs to none
   */
  forget(role, kept) {
    for (const bubble of [...this.#open]) {
      if (bubble.role === role && (!kept || (bubble.item && bubble.item !== kept))) {
        this.#close(bubble);
        bubble.element.remove();
      }
    }
  }

  /** No more words will come for what is open: it stays as far as it came. */
  settle() {
    for (const bubble of [...this.#open]) {
      this.#close(bubble);
      this.#finish(bubble, bubble.words.textContent, bubble.role === "assistant");
    }
    this.#typed = [];
  }

  #add(role, name, item) {
    const bubble = { role, name, item, element: element("li", "bubble"), words: element("p", "words") };
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

/** A new element with class and text; text is never read as HTML. */
export function element(tag, className = "", text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}
