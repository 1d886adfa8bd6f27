/** WebSockets to this server, for a call and for those who watch a room. */

/** What may stand in a `Sec-WebSocket-Protocol` header. */
const SUBPROTOCOL = /^[\w!#$%&'*+.^`|~-]+$/;

/**
 * Opens a WebSocket to this server. A browser can set no header on one, so the token travels as a
 * subprotocol, or in the query if it has characters that a subprotocol must not have.
 *
 * @param {URL} url with http or https
 * @param {string} [token]
 */
export function openSocket(url, token) {
  const target = new URL(url);
  target.protocol = target.protocol === "https:" ? "wss:" : "ws:";
  if (!token) {
    return new WebSocket(target, "roomkit");
  }
  if (SUBPROTOCOL.test(token)) {
    return new WebSocket(target, ["roomkit", `token.${token}`]);
  }
  target.searchParams.set("token", token);
  return new WebSocket(target, "roomkit");
}
