/** Both ends of a call as samples: what the page sent, and what it handed to the sound device. */

/** Runs beside the page's own worklets and passes on every block that reaches the device. */
const WORKLET = `
registerProcessor("test-recorder", class extends AudioWorkletProcessor {
  process([input]) {
    this.port.postMessage(input[0] ?? new Float32Array(128));
    return true;
  }
});`;

/** Records a page that was opened with `bypassCSP` and has no call yet: its policy allows only its own scripts. */
export async function record(page) {
  const sent = [];
  page.on("websocket", (socket) =>
    socket.on("framesent", ({ payload }) => {
      if (typeof payload !== "string") {
        sent.push(payload);
      }
    }),
  );
  await page.evaluate((worklet) => {
    const recorded = { rate: 0, blocks: [] };
    window.recorded = recorded;
    const { connect } = AudioNode.prototype;
    AudioNode.prototype.connect = function (target, ...rest) {
      if (target === this.context.destination) {
        recorded.rate = this.context.sampleRate;
        this.context.audioWorklet.addModule(worklet).then(() => {
          const recorder = new AudioWorkletNode(this.context, "test-recorder", { numberOfOutputs: 0 });
          recorder.port.onmessage = ({ data }) => recorded.blocks.push(data);
          connect.call(this, recorder);
        });
      }
      return connect.call(this, target, ...rest);
    };
  }, `data:text/javascript,${encodeURIComponent(WORKLET)}`);
  return {
    /** @param {number} rate Hz of the session's input */
    sent(rate) {
      const bytes = Buffer.concat(sent);
      const samples = Float32Array.from({ length: bytes.length >> 1 }, (_, n) => bytes.readInt16LE(2 * n) / 32768);
      return { rate, samples };
    },
    async played() {
      const { rate, samples } = await page.evaluate(() => ({
        rate: window.recorded.rate,
        samples: window.recorded.blocks.flatMap((block) => [...block]),
      }));
      return { rate, samples: Float32Array.from(samples) };
    },
  };
}

/** Loudness (RMS, 0 to 1) of each `windowMs` of a recording. */
export function envelope({ rate, samples }, windowMs = 10) {
  const size = (rate * windowMs) / 1000;
  const count = Math.floor(samples.length / size);
  return Array.from({ length: count }, (_, n) => {
    const window = samples.subarray(Math.round(n * size), Math.round((n + 1) * size));
    return rms(window);
  });
}

/** The part of an envelope from the first to the last loud window. */
export function loudPart(levels, threshold = 0.01) {
  const loud = (level) => level > threshold;
  return levels.slice(levels.findIndex(loud), levels.findLastIndex(loud) + 1);
}

/** How alike two envelopes are where they fit best, shifted by up to `most` windows: 1 is the same. */
export function likeness(one, other, most = 10) {
  const shifts = Array.from({ length: 2 * most + 1 }, (_, n) => n - most);
  return Math.max(...shifts.map((shift) => correlation(one, one.map((_, n) => other[n + shift] ?? 0))));
}

export function rms(values) {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}

function correlation(one, other) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanOne, meanOther] = [mean(one), mean(other)];
  const product = one.reduce((sum, value, n) => sum + (value - meanOne) * (other[n] - meanOther), 0);
  return product / (one.length * rms(one.map((v) => v - meanOne)) * rms(other.map((v) => v - meanOther)));
}
