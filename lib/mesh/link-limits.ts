/** The bounds of one peer link. */
export interface LinkLimits {
  /** Longest message, one-way or of a request (`limits.message`). */
  readonly messageBytesMax: number;
  /** Credit of one direction of a request. */
  readonly windowBytes: number;
  /** One-way bytes waiting to be written; above it `send` is false. */
  readonly sendBytesMax: number;
  /** Room for messages longer than a window that are coming in, all requests together; at least `messageBytesMax`. */
  readonly assemblyBytesMax: number;
  /** Requests open at once in each direction. */
  readonly requestsMax: number;
  /** Ticks in a row without a sign of life after which the link counts as lost. */
  readonly silentTicksMax: number;
}

/** What holds unless it is configured. */
export const defaultLinkLimits: LinkLimits = {
  messageBytesMax: 12 * 1024 * 1024,
  windowBytes: 256 * 1024,
  sendBytesMax: 16 * 1024 * 1024,
  assemblyBytesMax: 48 * 1024 * 1024,
  requestsMax: 1_024,
  silentTicksMax: 5,
};
