import { z } from "zod";
import {
  count,
  countsByName,
  duration,
  flag,
  headerName,
  hostAndPort,
  list,
  oneOf,
  origin,
  port,
  size,
  storePlace,
  text,
} from "./config-values.ts";

/** What is known of a setting besides its type; the tables in docs/ are made from it. */
export interface SettingInfo {
  /** One sentence, without a full stop. */
  readonly doc: string;
  /** What holds when nothing is said, as it would be written; for optional settings in words. */
  readonly fallback: string;
  readonly isOptional: boolean;
  /** What happens when the limit is reached; only limits have one. */
  readonly effect?: string;
  /** Never shown. */
  readonly secret?: boolean;
}

/** What is known of each setting, by its schema. */
export const settingInfos = z.registry<SettingInfo>();

type Value<T> = z.ZodPipe<z.ZodUnknown, z.ZodTransform<T>>;

function setting<T>(type: Value<T>, fallback: string, doc: string, effect?: string) {
  return known(type.prefault(fallback), { doc, fallback, isOptional: false, ...(effect !== undefined && { effect }) });
}

function optional<T>(type: Value<T>, fallback: string, doc: string) {
  return known(type.optional(), { doc, fallback, isOptional: true });
}

function secret<T>(type: Value<T>, fallback: string, doc: string) {
  return known(type.optional(), { doc, fallback, isOptional: true, secret: true });
}

function known<T extends z.ZodType>(schema: T, info: SettingInfo): T {
  settingInfos.add(schema, info);
  return schema;
}

/**
 * Every setting of the proxy, once: type, default, meaning and what happens at each bound. Times are milliseconds and sizes bytes
 * once read. Rooms are handed only what is theirs.
 */
export const configSchema = z.strictObject({
  frontend: z.strictObject({
    port: setting(port(0), "9001", "Port for clients: HTTP/2 and HTTP/1.1; 0 takes a free one"),
    host: setting(text(), "0.0.0.0", "Address the front port listens on"),
    socket: optional(text(), "none", "Path of a Unix socket on which the same is served"),
    connections: setting(count(), "10000", "Connections open at once", "the next one is closed at once"),
    streams: setting(count(), "10000", "HTTP/2 streams open on one connection", "the client's HTTP/2 library waits"),
    window: setting(size(1024), "64KiB", "What a client may send ahead on one stream", "the client is held back"),
    buffer: setting(
      size(),
      "256MiB",
      "Bytes held for all calls together",
      "the next message fails with RESOURCE_EXHAUSTED, or 429 over HTTP",
    ),
    greetingTimeout: setting(
      duration(),
      "10s",
      "Until the first bytes of a connection have come",
      "it is closed with 408",
    ),
    idleTimeout: setting(duration(), "12h", "A connection without traffic", "it is closed"),
    bodyTimeout: setting(
      duration(),
      "30s",
      "Until the body of an HTTP request that is one message has come whole",
      "it is answered with 408, or closed if it was answered before",
    ),
    http1: z.strictObject({
      headersTimeout: setting(
        duration(),
        "10s",
        "Until the headers of the first HTTP/1.1 request of a connection have come",
        "it is closed with 408",
      ),
      keepAlive: setting(
        duration(),
        "2m",
        "From an HTTP/1.1 answer until the headers of the next request have come",
        "the connection is closed",
      ),
      pipeline: setting(
        count(),
        "100",
        "HTTP/1.1 requests of one connection that wait for the answers of earlier ones",
        "the connection is closed",
      ),
    }),
    cors: z.strictObject({
      origins: setting(
        list(origin),
        "",
        "Origins whose pages may call, such as https://shop.example; * is all of them",
      ),
      headers: setting(list(headerName), "", "Request headers that pages may set besides those of gRPC-Web"),
      exposed: setting(list(headerName), "", "Response headers that pages may read besides those of gRPC"),
      maxAge: setting(duration(), "10m", "How long a browser may keep the answer to a preflight"),
    }),
  }),
  userFunction: z.strictObject({
    host: setting(text(), "127.0.0.1", "Host of the user function"),
    port: setting(port(1), "8080", "Port of the user function"),
    socket: optional(text(), "none", "Unix socket of the user function, instead of host and port"),
    wait: setting(duration(), "5s", "How long a stream waits while the function is away", "it fails with UNAVAILABLE"),
    waiting: setting(count(), "10000", "Streams that may wait", "the next one fails with RESOURCE_EXHAUSTED"),
    buffer: setting(
      size(),
      "64MiB",
      "Memory for what waits for the function, on all streams and before; a third of it is filled, the rest is air for the collector",
      "senders are held back, then refused with RESOURCE_EXHAUSTED",
    ),
    sessions: setting(
      count(),
      "64",
      "HTTP/2 sessions to the function, for entities and for calls of actions each",
      "streams wait for a place in one",
    ),
    connectTimeout: setting(
      duration(),
      "5s",
      "Until the function has accepted and sent its settings",
      "the attempt failed",
    ),
    backoffMin: setting(duration(), "100ms", "Wait after the first failed attempt to connect"),
    backoffMax: setting(duration(), "2s", "Longest wait between attempts to connect"),
    window: setting(size(1024), "64KiB", "What the function may send ahead on one stream", "the function is held back"),
  }),
  admin: z.strictObject({
    port: setting(port(0), "9090", "Port for metrics, health and operators; 0 takes a free one"),
    host: setting(text(), "0.0.0.0", "Address the admin port listens on"),
    token: secret(text(), "none: loopback only", "Bearer token that lets others than loopback change state"),
    connections: setting(count(), "256", "Connections to the admin port", "the next one is closed at once"),
    requestTimeout: setting(duration(), "30s", "Until a request has come whole", "it is answered with 408"),
  }),
  mesh: z.strictObject({
    port: setting(port(0), "9005", "Port for other proxies; 0 takes a free one"),
    host: setting(text(), "0.0.0.0", "Address the mesh listens on; without a key always loopback"),
    peers: setting(list(hostAndPort), "", "Other proxies, as host:port; a name stands for all its addresses"),
    key: secret(
      list(keyLength, 2),
      "none: loopback only",
      "Cluster key, at least 16 characters; two while moving to the first",
    ),
    cluster: setting(text(), "massa", "Name of the cluster; only proxies of the same name meet"),
    advertise: setting(list(hostAndPort), "", "Addresses to tell others; by default those listened on"),
    expect: optional(
      count(1, 10_000),
      "the addresses of others in mesh.peers, plus one",
      "Proxies expected: MAJORITY and ALL never count fewer",
    ),
    expectByGroup: setting(countsByName(), "", "The same for single persistence ids"),
    mdns: setting(flag(), "false", "Finds proxies on the local network by multicast, for development"),
    heartbeat: setting(duration(), "500ms", "Between two heartbeats"),
    silentAfter: setting(duration(), "3s", "Without a heartbeat a member counts as silent", "commands go elsewhere"),
    forgetAfter: setting(
      duration(),
      "10m",
      "Silence after which a majority takes a member out",
      "its voice counts no more",
    ),
    joinTimeout: setting(
      duration(),
      "10s",
      "How long a new process waits for a peer's state",
      "it opens alone and says so",
    ),
    leaveTimeout: setting(
      duration(),
      "10s",
      "How long a leaver waits for others to have its state",
      "it leaves and says so",
    ),
    admissionTimeout: setting(duration(), "5s", "Until a peer has proved the cluster key", "the connection is closed"),
    links: setting(count(1, 1_000), "32", "Nodes that this one dials", "others are reached by gossip"),
    unverified: setting(count(), "32", "Connections that have not proved the key yet", "the next one is closed"),
    redialMin: setting(duration(), "200ms", "Wait after the first failed dial"),
    redialMax: setting(duration(), "10s", "Longest wait between dials"),
    keepAlive: setting(duration(), "2s", "Between signs of life on a link"),
    silentTicks: setting(count(2, 100), "5", "Signs of life missed in a row", "the link counts as lost"),
    closeTimeout: setting(duration(), "2s", "Until the links are closed at the end", "they are cut"),
    gossipBytes: setting(size(1024), "1MiB", "Longest gossip message", "it is not sent, and said so"),
    window: setting(
      size(1024),
      "256KiB",
      "Credit of one direction of a request between proxies",
      "the sender is held back",
    ),
    sendBuffer: setting(
      size(1024),
      "16MiB",
      "Bytes of one-way messages that wait for a link",
      "they are repaired later",
    ),
    assembly: setting(
      size(1024),
      "48MiB",
      "Room for long messages coming in over one link",
      "the request fails with RESOURCE_EXHAUSTED",
    ),
    requests: setting(
      count(),
      "1024",
      "Requests open over one link and direction",
      "the next one fails with RESOURCE_EXHAUSTED",
    ),
  }),
  node: z.strictObject({
    name: optional(text(), "host name and front port", "The place this process runs at, the same after a restart"),
  }),
  replication: z.strictObject({
    flush: setting(duration(), "5ms", "How long changes are gathered under load"),
    spread: setting(oneOf("auto", "gossip", "direct"), "auto", "How changes travel: over links, by gossip, or as fits"),
    directPeers: setting(count(), "16", "Peers above which auto gossips"),
    ring: setting(size(1024), "16MiB", "Recent batches held per group", "older ones are repaired from the state"),
    waiting: setting(size(1024), "8MiB", "Batches ahead of a gap, per group", "they are dropped and asked for again"),
    keptDrops: setting(count(), "100000", "Drops of what was not seen yet, per group", "the group is repaired"),
    frame: setting(size(1024), "60kB", "Encoded size of a batch and of a slice"),
    fetch: setting(size(1024), "1MiB", "Batches that answer one question", "the rest is asked for again"),
    gather: setting(size(1024), "512MiB", "A reading of a group on its way in", "it is given up and said so"),
    readings: setting(count(), "4", "Readings on their way out, per group", "the next asker is told to wait"),
    askTimeout: setting(duration(), "2s", "How long a question waits for the next piece", "another peer is asked"),
    abandonAfter: setting(
      duration(),
      "30s",
      "How long what waits behind a gap of a lost replica is kept",
      "it is dropped and counted",
    ),
  }),
  crdt: z.strictObject({
    initialRead: setting(
      oneOf("local"),
      "local",
      "What an activation reads before its first command; `local`, what this node has, is all there is",
    ),
    catchUpAfter: setting(
      duration(),
      "50ms",
      "How long remote changes may be withheld",
      "new commands wait for the catch-up",
    ),
    passivationTimeout: setting(
      duration(),
      "30s",
      "Idle time of an entity for which the function names none",
      "its stream is closed",
    ),
    cancelGrace: setting(
      duration(),
      "1s",
      "How long a cancelled stream's response is waited for",
      "changes go on without it, and no more of its method are waited for until one comes",
    ),
    writeTimeout: setting(
      duration(),
      "5s",
      "How long a change waits for MAJORITY or ALL",
      "the call fails, the change stays",
    ),
    waits: setting(count(), "10000", "Changes that wait for MAJORITY or ALL, per group", "the next one fails at once"),
    counterDots: setting(count(), "8", "Amounts of one counter left as they are", "they are folded into one"),
    foldEvery: setting(duration(), "10s", "Between two folds of one counter"),
    foldAtOnce: setting(count(), "1024", "Amounts of one counter that are folded at once"),
  }),
  entities: z.strictObject({
    maxActive: setting(
      count(),
      "100000",
      "Entity streams open to the function",
      "an idle one is closed and who comes waits for that; without an idle one RESOURCE_EXHAUSTED",
    ),
    mailbox: setting(
      count(),
      "1000",
      "Commands waiting or under way per entity",
      "the next one fails with RESOURCE_EXHAUSTED",
    ),
    streamBuffer: setting(
      count(),
      "1000",
      "Answers of a streamed command that its client has not read",
      "the command fails with RESOURCE_EXHAUSTED",
    ),
    completeTimeout: setting(
      duration(),
      "1s",
      "How long a function may take to complete a half-closed stream while commands, or the end of the proxy, wait for that",
      "the stream is reset",
    ),
    pressureAfter: setting(duration(), "200ms", "How long a stream may be unanswered", "an idle one makes room for it"),
    cache: setting(
      size(0),
      "64MiB",
      "State of value and event-sourced entities kept for their next start",
      "the least recently used is read from the store again",
    ),
  }),
  value: z.strictObject({
    passivationTimeout: setting(
      duration(),
      "30s",
      "Idle time of a value entity for which the function names none",
      "its stream is closed",
    ),
  }),
  eventSourced: z.strictObject({
    passivationTimeout: setting(
      duration(),
      "30s",
      "Idle time of an event-sourced entity for which the function names none",
      "its stream is closed",
    ),
  }),
  store: z.strictObject({
    url: setting(
      storePlace(),
      "memory",
      "Where value and event-sourced entities are kept: `memory`, which ends with the process, or `file:PATH`",
    ),
    memory: setting(
      size(),
      "1GiB",
      "What the store in memory may take",
      "the next write fails with RESOURCE_EXHAUSTED",
    ),
    waiting: setting(
      count(),
      "10000",
      "Requests that the store in a file has not answered",
      "the next one fails with RESOURCE_EXHAUSTED",
    ),
    waitingBytes: setting(
      size(1024),
      "64MiB",
      "Bytes of writes that the store in a file has not answered; one alone may be longer",
      "the next one fails with RESOURCE_EXHAUSTED",
    ),
    commit: setting(
      count(),
      "1000",
      "Writes in one commit of the store in a file",
      "the next ones are the next commit",
    ),
    shared: setting(
      flag(),
      "true",
      "Whether nodes that host one service must keep its value and event-sourced entities in a store that all of them see; false accepts that each keeps entities of its own",
    ),
  }),
  relay: z.strictObject({
    timeout: setting(duration(), "1m", "How long a caller waits for an entity's answer", "the call fails"),
  }),
  routing: z.strictObject({
    hops: setting(count(), "64", "Forwards and side effects in a row", "the next one is refused"),
    effects: setting(count(), "1000", "Side effects under way that nobody waits for", "the next one is waited for"),
  }),
  limits: z.strictObject({
    message: setting(
      size(1024, 2 ** 31 - 1),
      "12MiB",
      "One message, after inflating",
      "RESOURCE_EXHAUSTED, or 413 over HTTP",
    ),
    headers: setting(size(1024), "16KiB", "Header block of one request", "431, or the stream is refused"),
  }),
  drain: z.strictObject({
    timeout: setting(
      duration(),
      "10s",
      "How long messages in hand and open calls may take once the proxy is told to end",
      "open streams of entities end with OK, all else half a second later with UNAVAILABLE",
    ),
  }),
  eventing: z.strictObject({
    inFlight: setting(
      count(),
      "256",
      "Messages of one subscription under way; and messages of all topics together that are published and not confirmed",
      "the next ones stay in the topic; the next one to publish fails with RESOURCE_EXHAUSTED",
    ),
    maxAttempts: setting(count(1, 1_000), "5", "Attempts at one message", "it goes to the dead letters"),
    timeout: setting(duration(), "1m", "How long one attempt at a message may take", "it counts as failed"),
    publishTimeout: setting(
      duration(),
      "30s",
      "How long a publish is tried while the broker is away",
      "the call fails",
    ),
    backoffMin: setting(duration(), "100ms", "Wait before the second attempt at a message"),
    backoffMax: setting(duration(), "10s", "Longest wait between attempts at a message"),
    stallAfter: setting(
      duration(),
      "10s",
      "How long a topic may bring nothing although the broker has something",
      "after twice that its feed is made anew",
    ),
    eventLog: z.strictObject({
      maxAttempts: setting(
        count(1, 1_000),
        "1",
        "Attempts at an event of an event log that is answered with a failure",
        "it is acknowledged and counted",
      ),
      page: setting(count(1, 10_000), "64", "Events of an event log read at once"),
      saveEvents: setting(
        count(),
        "20",
        "Events after which it is kept how far a consumer of an event log has come; with the store in memory 1",
      ),
      saveAfter: setting(duration(), "1s", "The same, by time"),
    }),
    ackWait: setting(duration(), "30s", "How long `POST /topics/…?wait=ack` waits for the outcome", "it answers 504"),
    memory: z.strictObject({
      topics: setting(count(), "1000", "Topics of the embedded broker", "a message for another one is refused"),
      topicMessages: setting(
        count(),
        "10000",
        "Messages in one topic of the embedded broker",
        "the next one is refused",
      ),
      topicBytes: setting(
        size(1024),
        "64MiB",
        "Bytes in one topic of the embedded broker",
        "the next message is refused",
      ),
      deadLetters: setting(
        count(),
        "1000",
        "Dead letters kept per subscription",
        "the oldest one is given up, counted and said so",
      ),
    }),
  }),
  protocol: z.strictObject({
    compatibilityCheck: setting(
      flag(),
      "true",
      "Refuses a function that speaks another protocol than 0.2; else it warns",
    ),
  }),
  log: z.strictObject({
    level: setting(
      oneOf("fatal", "error", "warn", "info", "debug", "silent"),
      "info",
      "What is logged, with all above it",
    ),
  }),
});

function keyLength(item: string): string | undefined {
  return item.length >= 16 ? undefined : "must be at least 16 characters a key, at most two keys with a comma between";
}
