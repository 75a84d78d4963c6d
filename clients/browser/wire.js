// The client's side of the wire: JSON to the relay's messages, and a client's messages to JSON.

/** A client's message; fields that are undefined are left out. */
export const write = (type, fields = {}) => JSON.stringify({ type, ...fields });

/** A text frame of the relay, or null where it is no message of this protocol. */
export function parse(text) {
  try {
    const message = JSON.parse(text);
    const numbered = Number.isInteger(message?.epoch) && Number.isInteger(message?.n);
    return numbered && typeof message.type === "string" ? message : null;
  } catch {
    return null;
  }
}
