// Types of filo-client.js. What each message means: docs/client-protocol.md; how to use this: docs/clients.md.

export type Phase = "idle" | "connecting" | "greeting" | "live" | "leaving" | "waiting" | "over";
export type Continuity = "handle" | "rebased" | "transcript" | "none";
export type Action = "stop" | "reconnect" | "wait";

interface Numbered {
  epoch: number;
  n: number;
}

interface Greeting extends Numbered {
  conversation: string;
  mode: string;
  turn: number;
  nextSeq: number;
  covered: number;
  rotation: "relay" | "client";
}

export interface ToolCall {
  id: string;
  name: string;
  args: Record<string, unknown>;
}

/** What the relay sends, as it is. */
export type RelayEvent =
  | (Greeting & { type: "session:started" })
  | (Greeting & { type: "session:resumed"; continuity: Continuity })
  | (Numbered & { type: "session_resumption_update"; handle?: string; resumable: boolean; expiresAt?: string; sessionToken?: string })
  | (Numbered & { type: "session_expiring"; message: string; timeLeft: number; hasHandle: boolean; reason: string })
  | (Numbered & { type: "goAway"; timeLeft: number })
  | (Numbered & { type: "session:rotating"; reason: string; turn: number })
  | (Numbered & { type: "session:rotated"; reason: string; continuity: Continuity; gapMs: number; turn: number })
  | (Numbered & { type: "transcript"; role: "user" | "agent"; text: string; turn: number })
  | (Numbered & { type: "interrupted"; turn: number })
  | (Numbered & { type: "turn:complete"; turn: number; interrupted: boolean; stored: boolean })
  | (Numbered & { type: "turn:restarted"; turn: number; reason: string })
  | (Numbered & { type: "turn:missed"; turn: number; user: string; agent: string; interrupted: boolean })
  | (Numbered & { type: "covered"; seq: number; turn: number })
  | (Numbered & { type: "usage"; turn: number; contextTokens: number; billedTokens: number; byCategory: Record<string, number> })
  | (Numbered & { type: "tool_call"; turn: number; calls: ToolCall[] })
  | (Numbered & { type: "tool_call_cancellation"; turn: number; ids: string[] })
  | (Numbered & { type: "error"; code: string; message: string; retryable: boolean })
  | (Numbered & { type: "skipped"; messages: number })
  | (Numbered & { type: "pong" })
  | (Numbered & { type: "conversation_end"; reason: string });

export interface Over {
  type: "over";
  /** True when the conversation was ended; false when it was lost, or left. */
  ended: boolean;
  /** The last close code. */
  code: number;
  reason: string;
  /** Failed attempts at the end. */
  attempts: number;
}

/** What becomes of the socket, and the agent's voice. */
export type ClientEvent =
  /** PCM16 little-endian mono, 24 kHz. */
  | { type: "audio"; pcm: ArrayBuffer }
  | { type: "disconnected"; code: number; reason: string }
  /** Attempt number `attempt` begins after `wait` seconds. */
  | { type: "reconnecting"; attempt: number; wait: number; cause: string }
  /** There is no network: an attempt that does not count begins after `wait` seconds, or when it is back. */
  | { type: "offline"; wait: number }
  | { type: "attempt_failed"; attempt: number; reason: string }
  /** `gap` is in seconds; `lostInputs` is how many inputs the relay asked for that were no longer kept. */
  | { type: "reconnected"; cause: string; attempts: number; continuity: Continuity; gap: number; lostInputs: number }
  | Over;

export type ConversationEvent = RelayEvent | ClientEvent;
export type EventOf<T extends ConversationEvent["type"]> = Extract<ConversationEvent, { type: T }>;

/** When to come back, how often, and how long to wait for what; times are in seconds. */
export interface Policy {
  attempts: number;
  shortestWait: number;
  firstWait: number;
  factor: number;
  longestWait: number;
  openTimeout: number;
  greetingTimeout: number;
  closeTimeout: number;
  pingAfter: number;
  pingTimeout: number;
  probeTimeout: number;
  followGoAway: boolean;
}

export interface Turn {
  number: number;
  user: string;
  typed: string[];
  agent: string;
  complete: boolean;
  interrupted: boolean;
  missed: boolean;
  restarts: number;
}

/** What another page needs to go on with a conversation. Secrets are in it. */
export interface Saved {
  standing: { seen: [number, number]; turn?: number | null; handle: string | null; token: string | null };
  dialogue: { turns: Turn[]; epoch: number; last: number };
}

export interface Options {
  /** The conversation's share token, where its mode has one. */
  shareToken?: string;
  /** Asked for a session token where there is none, or the newest is refused, as after a long absence. */
  renew?: () => Promise<string>;
  /** Who replaces the connection to Gemini: the relay, unnoticed, or this client, by coming back. */
  rotation?: "relay" | "client";
  /** Marks the conversation as a test. */
  test?: boolean;
  policy?: Partial<Policy>;
  /** Bytes of audio that are kept until they are stored; half an hour when not given. */
  capacity?: number;
  /** What `save` gave to another page. */
  restore?: Saved;
  /** Told every event from the first on. */
  onEvent?: (event: ConversationEvent) => void;
}

export class ConversationError extends Error {
  readonly over: Over;
}

export class Conversation extends EventTarget implements AsyncIterable<ConversationEvent> {
  static open(url: string, token: string | null, options?: Options): Promise<Conversation>;
  readonly phase: Phase;
  readonly uncovered: number;
  readonly givenUp: number;
  readonly dialogue: Dialogue;
  sendAudio(pcm: Int16Array | Uint8Array | ArrayBuffer): number;
  sendText(text: string): number;
  sendToolResult(call: ToolCall, result: Record<string, unknown>): number;
  sendActivity(start: boolean): number;
  sendAudioStreamEnd(): number;
  end(reason?: string): void;
  close(): void;
  cut(): void;
  save(): Saved;
  addEventListener<T extends ConversationEvent["type"]>(
    type: T,
    listener: (event: CustomEvent<EventOf<T>>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: "event",
    listener: (event: CustomEvent<ConversationEvent>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  [Symbol.asyncIterator](): AsyncIterableIterator<ConversationEvent>;
}

export class Dialogue {
  readonly turns: Turn[];
  take(event: ConversationEvent): void;
  typed(text: string): Turn;
  save(): Saved["dialogue"];
  restore(saved: Saved["dialogue"]): void;
}

/** The decisions, without sockets or timers: for who brings these along. See session.js. */
export class Session {
  constructor(
    credentials: { url: string; sessionToken: string | null; renewable?: boolean } & Pick<Options, "shareToken" | "rotation" | "test">,
    policy?: Partial<Policy>,
    chance?: () => number,
    capacity?: number,
  );
  readonly phase: Phase;
  readonly deadline: number | null;
  readonly leaving: boolean;
  readonly wantsToken: boolean;
  readonly standing: Saved["standing"];
  audio(pcm: Uint8Array): number;
  text(text: string): number;
  activity(start: boolean): number;
  audioStreamEnd(): number;
  toolResult(id: string, name: string, result: Record<string, unknown>): number;
  end(reason: string): void;
  quit(now: number): void;
  goOnFrom(standing: Saved["standing"]): void;
  renewed(token: string): void;
  connect(now: number): string;
  opened(now: number): ConversationEvent[];
  take(): string | Uint8Array | null;
  received(frame: string | ArrayBuffer, now: number): ConversationEvent[];
  closed(code: number, reason: string, now: number): ConversationEvent[];
  timeout(now: number): ConversationEvent[];
  network(online: boolean, now: number): ConversationEvent[];
}

/** All that the user said in a turn, typed or spoken. */
export function saidIn(turn: Turn): string;

export class Microphone {
  static open(
    onFrame: (pcm: Int16Array, peak: number) => void,
    constraints?: MediaTrackConstraints,
  ): Promise<Microphone>;
  set muted(muted: boolean);
  close(): Promise<void>;
}

export class Speaker {
  static open(): Promise<Speaker>;
  readonly seconds: number;
  readonly peak: number;
  take(event: ConversationEvent): void;
  play(pcm: ArrayBuffer | Int16Array): void;
  flush(): void;
  close(): Promise<void>;
}

export const POLICY: Readonly<Policy>;
export const CLOSE_CODES: Readonly<Record<number, Readonly<{ action: Action; meaning: string }>>>;
export function actionAfter(code: number): Action;
