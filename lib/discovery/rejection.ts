/** The function declares what this proxy cannot serve; the message is for its author, through `reportError`. */
export class Rejection extends Error {}
