// A client of Filo's relay for browsers: no dependencies, no build step. How to use it: docs/clients.md.

export { Microphone, Speaker } from "./audio.js";
export { actionAfter } from "./comeback.js";
export { Conversation, ConversationError } from "./conversation.js";
export { Dialogue, saidIn } from "./dialogue.js";
export { Session } from "./session.js";
export { CLOSE_CODES, POLICY } from "./tables.js";
