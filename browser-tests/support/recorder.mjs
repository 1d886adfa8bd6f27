/** Both ends of a call as samples: what the page sent or its microphone heard, and what came out of its speaker. */

/** Runs beside the page's own worklets and passes on every block. */
const WORKLET = `
registerProcessor("test-recorder", class extends AudioWorkletProcessor {
  process([input]) {
    this.port.postMessage({ at: currentFrame / sampleRate, block: input[0] ?? new Float32Array(128) });
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
    const recorded = {};
    window.recorded = recorded;
    const { connect } = AudioNode.prototype;
    const tap = (node, name) => {
      const recording = { rate: node.context.sampleRate, start: undefined, blocks: [] };
      recorded[name] = recording;
      node.context.audioWorklet.addModule(worklet).then(() => {
        const recorder = new AudioWorkletNode(node.context, "test-recorder", { numberOfOutputs: 0 });
        recorder.port.onmessage = ({ data }) => {
          recording.start ??= data.at;
          recording.blocks.push(data.block);
        };
        connect.call(node, recorder);
      });
    };
    AudioNode.prototype.connect = function (target, ...rest) {
      const listens = target instanceof AudioWorkletNode;
      // A WebSocket's audio is played by the graph, a track by the browser; the page listens to it behind a gate.
      if (target === this.context.destination || (listens && this instanceof GainNode)) {
        tap(this, "played");
      } else if (listens && this instanceof MediaStreamAudioSourceNode && !recorded.spoken) {
        tap(this, "spoken");
      }
      return connect.call(this, target, ...rest);
    };
  }, `data:text/javascript,${encodeURIComponent(WORKLET)}`);
  /** Samples, with the time in seconds at which the first of them was heard. */
  const recording = async (name) => {
    const { rate, start, samples } = await page.evaluate((which) => {
      const { rate, start, blocks } = window.recorded[which];
      return { rate, start, samples: blocks.flatMap((block) => [...block]) };
    }, name);
    return { rate, start, samples: Float32Array.from(samples) };
  };
  return {
    /** What went through the WebSocket. @param {number} rate Hz of the session's input */
    sent(rate) {
      const bytes = Buffer.concat(sent);
      const samples = Float32Array.from({ length: bytes.length >> 1 }, (_, n) => bytes.readInt16LE(2 * n) / 32768);
      return { rate, samples };
    },
    /** What the microphone heard, on the clock of `played`. */
    spoken: () => recording("spoken"),
    played: () => recording("played"),
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

/** Frequency of a tone, by the usual time from one rise through zero to the next: one hole says nothing of it. */
export function pitch(samples, rate) {
  const rises = [];
  for (let n = 1; n < samples.length; n += 1) {
    if (samples[n - 1] < 0 && samples[n] >= 0) {
      rises.push(n - samples[n] / (samples[n] - samples[n - 1]));
    }
  }
  return rate / median(rises.slice(1).map((rise, n) => rise - rises[n]));
}

/**
 * The share of the power that one frequency usually has. Piece by piece: where a busy machine makes the browser bridge a
 * hole, a tone goes on in another phase.
 */
export function purity(frequency, samples, rate) {
  const length = rate / 10;
  const pieces = Array.from({ length: Math.floor(samples.length / length) }, (_, n) =>
    samples.subarray(n * length, (n + 1) * length));
  return median(pieces.map((piece) => powerAt(frequency, piece, rate) / rms(piece) ** 2));
}

function median(values) {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)];
}

/** Power of one frequency in a recording. */
function powerAt(frequency, samples, rate) {
  let [real, imaginary] = [0, 0];
  samples.forEach((sample, n) => {
    const angle = (2 * Math.PI * frequency * n) / rate;
    real += sample * Math.cos(angle);
    imaginary += sample * Math.sin(angle);
  });
  return (2 * (real ** 2 + imaginary ** 2)) / samples.length ** 2;
}

function correlation(one, other) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanOne, meanOther] = [mean(one), mean(other)];
  const product = one.reduce((sum, value, n) => sum + (value - meanOne) * (other[n] - meanOther), 0);
  return product / (one.length * rms(one.map((v) => v - meanOne)) * rms(other.map((v) => v - meanOther)));
}
