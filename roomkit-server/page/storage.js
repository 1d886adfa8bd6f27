/** What the browser keeps for the page. One that blocks site data throws at each access: there it is kept until the page goes. */

class Store {
  #open;
  #memory = new Map();

  /** @param {() => Storage} open throws where site data is blocked */
  constructor(open) {
    this.#open = open;
  }

  /** @param {string} key @returns {string | undefined} */
  get(key) {
    if (this.#memory.has(key)) {
      return this.#memory.get(key);
    }
    try {
      return this.#open().getItem(key) ?? undefined;
    } catch {
      return undefined;
    }
  }

  /** @param {string} key @param {string} value */
  set(key, value) {
    try {
      this.#open().setItem(key, value);
      this.#memory.delete(key);
    } catch {
      // Blocked, or full.
      this.#memory.set(key, value);
    }
  }
}

/** Kept until the tab is closed. */
export const tabStore = new Store(() => window.sessionStorage);

/** Kept for good. */
export const siteStore = new Store(() => window.localStorage);
