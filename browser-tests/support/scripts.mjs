/** Functions that run in a page of any browser, to see or to change what the page's own scripts get. */

/** A peer connection that says it has failed when it is told to, until it is told otherwise or its ICE is restarted. */
export function failAtWill() {
  const { RTCPeerConnection } = window;
  window.RTCPeerConnection = class extends RTCPeerConnection {
    #failed = false;
    #handler;

    constructor(configuration) {
      super(configuration);
      this.addEventListener("connectionstatechange", (event) => {
        // The connection is up all the while: what it goes through by its restart is not told.
        if (this.#failed && event.isTrusted) {
          event.stopImmediatePropagation();
        }
      });
      window.mendConnection = () => this.#mend();
      window.failConnection = () => {
        this.#failed = true;
        this.dispatchEvent(new Event("connectionstatechange"));
      };
    }

    #mend() {
      if (this.#failed) {
        this.#failed = false;
        this.dispatchEvent(new Event("connectionstatechange"));
      }
    }

    // Firefox calls a handler for its own events only, and a listener for any.
    set onconnectionstatechange(handler) {
      this.removeEventListener("connectionstatechange", this.#handler);
      this.#handler = handler;
      this.addEventListener("connectionstatechange", handler);
    }

    get connectionState() {
      return this.#failed ? "failed" : super.connectionState;
    }

    async setRemoteDescription(answer) {
      await super.setRemoteDescription(answer);
      this.#mend();
    }
  };
}

/** Notes what is asked of the signalling, and what the page says of its connection. */
export function watchOffers() {
  const { fetch } = window;
  window.offers = [];
  window.fetch = async (url, options) => {
    const response = await fetch(url, options);
    const { type, restart, webrtc_id: id } = JSON.parse(options?.body ?? "{}");
    if (type === "offer") {
      window.offers.push({ restart, id, status: response.status });
    }
    return response;
  };
  const note = document.getElementById("call-note");
  window.notes = [];
  new MutationObserver(() => note.textContent !== "" && window.notes.push(note.textContent)).observe(note, { childList: true });
}

/**
 * Holds what the server says to the first restart until `releaseAnswer` is called; `restarts` counts them all.
 *
 * @param {number} [instead] the status of a refusal that then comes in its place; 0 where nothing comes
 */
export function holdRestart(instead) {
  const { fetch } = window;
  const released = new Promise((resolve) => (window.releaseAnswer = resolve));
  window.restarts = 0;
  window.fetch = async (url, options) => {
    const response = await fetch(url, options);
    if (!JSON.parse(options?.body ?? "{}").restart) {
      return response;
    }
    window.restarts += 1;
    if (window.restarts > 1) {
      return response;
    }
    await released;
    if (instead === 0) {
      throw new TypeError("lost");
    }
    return instead ? new Response("{}", { status: instead }) : response;
  };
}

/** Loses the answers to all offers, which the server has given. */
export function loseOffers() {
  const { fetch } = window;
  window.fetch = async (url, options) => {
    const response = await fetch(url, options);
    if (JSON.parse(options?.body ?? "{}").type === "offer") {
      throw new TypeError("lost");
    }
    return response;
  };
}
