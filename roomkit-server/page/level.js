/** Listens in on a node of the audio graph and tells how loud it is. */

/**
 * Needs the worklet that `openAudio` loads.
 *
 * @param {AudioNode} node what to listen to; its channels are mixed
 * @param {(block: { at: number, frames: number, energy: number, peak: number, rms: number }) => void} onBlock
 *   about 100 times a second while there is a signal, silent or not; `at` is the context's time, in
 *   seconds, at the end of the block
 * @returns {AudioWorkletNode} to be disconnected by who disconnects `node`
 */
export function meter(node, onBlock) {
  const level = new AudioWorkletNode(node.context, "roomkit-level", {
    numberOfOutputs: 0,
    channelCount: 1,
    channelCountMode: "explicit",
  });
  level.port.onmessage = ({ data }) => onBlock({ ...data, rms: Math.sqrt(data.energy / data.frames) });
  node.connect(level);
  return level;
}
