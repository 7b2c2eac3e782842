import { MassaError } from "../lib/core/errors.ts";
import type { Logger } from "../lib/core/log.ts";
import type { Telemetry } from "../lib/core/telemetry.ts";
import type { Driver, Message, Source } from "./driver.ts";
import { type DeadLetter, type HeldMessage, MemoryGroup, type Settlement } from "./memory-group.ts";

/** The bounds of the embedded broker. */
export interface MemoryOptions {
  /** `eventing.memory.topics` */
  readonly topicsMax: number;
  /** `eventing.memory.topicMessages` */
  readonly topicMessagesMax: number;
  /** `eventing.memory.topicBytes`: of a topic, and of the dead letters of each of its groups. */
  readonly topicBytesMax: number;
  /** `eventing.memory.deadLetters`, of each topic and group; beyond, the oldest are given up. */
  readonly deadLettersMax: number;
}

export interface MemoryParts {
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly options: MemoryOptions;
}

/** What a topic holds, for people. */
export interface TopicView {
  readonly name: string;
  readonly messages: number;
  readonly bytes: number;
  readonly groups: readonly { readonly name: string; readonly unsettled: number; readonly deadLetters: number }[];
}

/**
 * The embedded broker: topics of this one process, gone with it. A message is held until every group of its topic has settled it; a
 * topic without groups keeps the newest for the first to come.
 */
export interface MemoryBroker extends Driver {
  /** Publishes at once; throws `not-found` or `exhausted`. `settled` is called when every group is done with it. */
  post(topic: string, message: Message, settled?: (settlement: Settlement) => void): string;
  topics(): readonly TopicView[];
  /** The first `limit` messages held, oldest first; undefined for an unknown topic. */
  messages(topic: string, limit: number): readonly HeldMessage[] | undefined;
  /** The last `limit` dead letters of a group (`<topic>.<group>.dead`), oldest first. */
  deadLetters(source: Source, limit: number): readonly DeadLetter[];
}

interface Topic {
  readonly name: string;
  readonly messages: Map<number, HeldMessage>;
  readonly groups: Map<string, MemoryGroup>;
  bytes: number;
  next: number;
  /** Whether it has given up a message that no group consumed, which is said once. */
  hasLost: boolean;
}

export function createMemoryBroker({ log, telemetry, options }: MemoryParts): MemoryBroker {
  const topics = new Map<string, Topic>();
  let isClosed = false;

  const known = (name: string): Topic => {
    const topic = topics.get(name);
    if (topic) return topic;
    const names = [...topics.keys()].slice(0, 20).join(", ");
    throw new MassaError("not-found", `there is no topic "${name}" here; known are: ${names || "none"}`);
  };

  const refuseFull = (topic: Topic, limit: string, value: number): never => {
    telemetry.count("massa_limit_reached_total", { limit });
    const behind = [...topic.groups.values()]
      .map((group) => `${group.name} has ${group.unsettled} to settle`)
      .join(", ");
    throw new MassaError(
      "exhausted",
      `topic "${topic.name}" is full: ${limit} is ${value}; ${behind || "no group consumes it"}; try again later or raise it`,
    );
  };

  /** Nobody consumes the topic: its newest messages are kept for the first group, so that publishing never stops. */
  const makeRoom = (topic: Topic, bytes: number) => {
    if (bytes > options.topicBytesMax) return;
    for (const message of topic.messages.values()) {
      const fits = topic.bytes + bytes <= options.topicBytesMax;
      if (fits && topic.messages.size < options.topicMessagesMax) return;
      topic.messages.delete(message.position);
      topic.bytes -= message.bytes;
      telemetry.count("massa_eventing_unconsumed_lost_total", { topic: topic.name });
      if (!topic.hasLost)
        log.warn({ topic: topic.name }, "no group consumes this topic: its oldest messages are given up");
      topic.hasLost = true;
      message.settled?.({ outcome: "dead-letter", cause: "no group consumed it, and newer messages took its place" });
    }
  };

  const groupOf = (topic: Topic, name: string): MemoryGroup => {
    const present = topic.groups.get(name);
    if (present) return present;
    const group: MemoryGroup = new MemoryGroup({
      name,
      deadLettersMax: options.deadLettersMax,
      deadLetterBytesMax: options.topicBytesMax,
      settled: (message, cause) => settle(topic, message, cause),
      deadLetterLost: () => {
        telemetry.count("massa_eventing_dead_letters_lost_total", { topic: topic.name, group: name });
        log.warn({ topic: topic.name, group: name, kept: options.deadLettersMax }, "oldest dead letter given up");
      },
    });
    topic.groups.set(name, group);
    for (const message of topic.messages.values()) {
      message.unsettled += 1;
      group.add(message);
    }
    return group;
  };

  const settle = (topic: Topic, message: HeldMessage, cause: string | undefined) => {
    message.cause ??= cause;
    message.unsettled -= 1;
    if (message.unsettled > 0) return;
    topic.messages.delete(message.position);
    topic.bytes -= message.bytes;
    message.settled?.(
      message.cause === undefined ? { outcome: "accepted" } : { outcome: "dead-letter", cause: message.cause },
    );
  };

  const post = (name: string, { key, headers, body }: Message, settled?: (settlement: Settlement) => void): string => {
    if (isClosed) throw new MassaError("unavailable", "the embedded broker is closed");
    const topic = known(name);
    const bytes = sizeOf(key, headers, body);
    if (topic.groups.size === 0) makeRoom(topic, bytes);
    if (topic.messages.size >= options.topicMessagesMax) {
      refuseFull(topic, "eventing.memory.topicMessages", options.topicMessagesMax);
    }
    if (topic.bytes + bytes > options.topicBytesMax) {
      refuseFull(topic, "eventing.memory.topicBytes", options.topicBytesMax);
    }
    const position = topic.next++;
    const id = `${name}-0-${position}`;
    const unsettled = topic.groups.size;
    const message: HeldMessage = { key, headers, body, position, id, bytes, unsettled, cause: undefined, settled };
    topic.messages.set(position, message);
    topic.bytes += bytes;
    for (const group of topic.groups.values()) group.add(message);
    return id;
  };

  return {
    name: "memory",
    features: { countsAttempts: true },
    post,
    async declare(name, groups) {
      let topic = topics.get(name);
      if (!topic) {
        if (topics.size >= options.topicsMax) {
          telemetry.count("massa_limit_reached_total", { limit: "eventing.memory.topics" });
          const text = `topic "${name}" would be one more than eventing.memory.topics of ${options.topicsMax}`;
          throw new MassaError("exhausted", text);
        }
        topic = { name, messages: new Map(), groups: new Map(), bytes: 0, next: 0, hasLost: false };
        topics.set(name, topic);
      }
      for (const group of groups) groupOf(topic, group);
    },
    publish: async (topic, message) => post(topic, message),
    async open({ topic, group }, listener) {
      if (isClosed) throw new MassaError("unavailable", "the embedded broker is closed");
      return groupOf(known(topic), group).open(listener);
    },
    classify: (error) => {
      const { code } = MassaError.from(error);
      return code === "exhausted" || code === "unavailable" ? "passing" : "lasting";
    },
    topics: () =>
      [...topics.values()].map(({ name, messages, groups, bytes }) => ({
        name,
        messages: messages.size,
        bytes,
        groups: [...groups.values()].map((group) => ({
          name: group.name,
          unsettled: group.unsettled,
          deadLetters: group.deadLetters.length,
        })),
      })),
    messages: (name, limit) => topics.get(name)?.messages.values().take(limit).toArray(),
    deadLetters: ({ topic, group }, limit) => topics.get(topic)?.groups.get(group)?.deadLetters.slice(-limit) ?? [],
    async [Symbol.asyncDispose]() {
      isClosed = true;
      const reason = new MassaError("unavailable", "the embedded broker is closed");
      for (const { groups } of topics.values()) for (const group of groups.values()) group.close(reason);
    },
  };
}

function sizeOf(key: string, headers: Message["headers"], body: Uint8Array): number {
  let bytes = key.length + body.byteLength;
  for (const [name, value] of headers) bytes += name.length + value.length;
  return bytes;
}
