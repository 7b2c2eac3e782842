import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { MassaError } from "../core/errors.ts";
import type { LinkLimits } from "./link-limits.ts";
import type { IncomingRequest, Mesh, MeshListener, OutgoingRequest, Peer, RequestHead } from "./mesh.ts";

/** What the suite needs to run on some mesh. */
export interface MeshHarness extends AsyncDisposable {
  /** Starts a node that the nodes before it can find; all belong to one cluster. */
  open(name: string, listener: MeshListener, link?: Partial<LinkLimits>): Promise<Mesh>;
  /** Lets time pass until `isMet`; rejects with `what` after a bounded time. */
  until(isMet: () => boolean, what: string): Promise<void>;
  /** Ends the process of a node. */
  kill(mesh: Mesh): Promise<void>;
}

const MiB = 1024 * 1024;
const windowBytes = 256 * 1024;

/** What replication and routing rely on from any mesh. An adapter is finished when this passes. */
export function conformsToMesh(name: string, openHarness: () => Promise<MeshHarness>): void {
  suite(`${name} mesh`, () => {
    const check = (title: string, body: (harness: MeshHarness) => Promise<void>) => {
      test(title, async () => {
        await using harness = await openHarness();
        await body(harness);
      });
    };

    check("admits both sides, each with the other's hello", async (harness) => {
      const [a, b] = await pair(harness);
      assert.equal(a.peer.id, b.mesh.id);
      assert.equal(b.peer.id, a.mesh.id);
      assert.deepEqual(a.peer.hello, b.mesh.hello);
      assert.deepEqual(b.peer.hello, a.mesh.hello);
      assert.equal(a.mesh.peer(b.mesh.id), a.peer);
      assert.deepEqual(a.mesh.peers(), [a.peer]);
    });

    check("links everybody to everybody", async (harness) => {
      const nodes = [
        await open(harness, "a"),
        await open(harness, "b"),
        await open(harness, "c"),
        await open(harness, "d"),
      ];
      await harness.until(
        () => nodes.every(({ mesh }) => mesh.peers().length === 3),
        "four nodes, each with three peers",
      );
      assert.ok(nodes.every(({ seen }) => seen.admitted.length === 3 && seen.lost.length === 0));
    });

    check("brings frames whole and those of one channel in order", async (harness) => {
      const [a, b] = await pair(harness);
      const sizes = [0, 1, 100, 64 * 1024, 64 * 1024 + 1, 700_000, 3, 2 * MiB, 5];
      for (const [index, size] of sizes.entries()) {
        assert.equal(a.mesh.send(b.mesh.id, 1, filled(size, index)), true);
        assert.equal(a.mesh.send(b.mesh.id, 2, filled(size, index + 100)), true);
      }
      await harness.until(() => b.seen.frames.length === 2 * sizes.length, "all frames");
      for (const channel of [1, 2]) {
        const bodies = b.seen.frames.filter((frame) => frame.channel === channel).map(({ body }) => Buffer.from(body));
        const expected = sizes.map((size, index) => Buffer.from(filled(size, channel === 1 ? index : index + 100)));
        assert.ok(bodies.every((body, index) => body.equals(expected[index]!)));
      }
    });

    check("lets small frames pass a long message", async (harness) => {
      const [a, b] = await pair(harness);
      a.mesh.send(b.mesh.id, 1, filled(8 * MiB, 1));
      await harness.until(() => a.mesh.send(b.mesh.id, 2, filled(3, 2)), "room");
      await harness.until(() => b.seen.frames.length === 2, "both frames");
      assert.deepEqual(
        b.seen.frames.map(({ channel }) => channel),
        [2, 1],
      );
    });

    check("says false when its bound is reached, and true again later", async (harness) => {
      const a = await open(harness, "a", { sendBytesMax: 2 * MiB, messageBytesMax: MiB });
      const b = await open(harness, "b");
      await linked(harness, a, b);
      let taken = 0;
      while (a.mesh.send(b.mesh.id, 1, filled(MiB / 2, taken))) assert.ok((taken += 1) < 100, "bounded");
      assert.ok(taken >= 4);
      await harness.until(() => a.mesh.send(b.mesh.id, 1, filled(1, 0)), "room again");
      await harness.until(() => b.seen.frames.length === taken + 1, "exactly what was taken");
    });

    check("has no link to a stranger", async (harness) => {
      const a = await open(harness, "a");
      assert.equal(a.mesh.send("nobody", 1, filled(1, 1)), false);
      assert.equal(a.mesh.peer("nobody"), undefined);
      const call = requested(a.mesh, "nobody", {});
      assert.equal(call.failure, undefined);
      await harness.until(() => call.failure?.code === "unavailable", "unavailable");
    });

    check("gossips to all subscribers but the publisher", async (harness) => {
      const nodes = [await open(harness, "a"), await open(harness, "b"), await open(harness, "c")];
      await harness.until(() => nodes.every(({ mesh }) => mesh.peers().length === 2), "everybody linked");
      for (const { mesh } of nodes) mesh.subscribe("news");
      const [a, b, c] = nodes as [Node, Node, Node];
      let published = 0;
      await harness.until(() => {
        a.mesh.publish("news", filled(10, (published += 1)));
        return b.seen.gossip.length > 0 && c.seen.gossip.length > 0;
      }, "gossip at both");
      assert.deepEqual([b.seen.gossip[0]!.topic, b.seen.gossip[0]!.from], ["news", a.mesh.id]);
      assert.equal(a.seen.gossip.length, 0);
      a.mesh.publish("news", Buffer.from("the last"));
      const last = ({ seen }: Node) => seen.gossip.filter(({ body }) => text(body) === "the last").length;
      await harness.until(() => last(b) === 1 && last(c) === 1, "the last message at both");
      c.mesh.unsubscribe("news");
      a.mesh.publish("news", Buffer.from("after"));
      await harness.until(() => text(b.seen.gossip.at(-1)!.body) === "after", "what was published after");
      assert.ok(c.seen.gossip.every(({ body }) => text(body) !== "after"));
    });

    check("streams a request both ways, with its head", async (harness) => {
      const [a, b] = await pair(harness);
      const head: RequestHead = {
        channel: 2,
        service: "shop.Cart",
        method: "Add",
        metadata: Buffer.from([0, 255, 7]),
        deadlineMs: 60_000,
        hops: 3,
        traceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        originNumber: 2 ** 40,
        bridgedMessage: Buffer.from("orders/3/17"),
      };
      const call = requested(a.mesh, b.mesh.id, head);
      call.request.send(Buffer.from("one"));
      call.request.send(new Uint8Array(0));
      await harness.until(() => b.seen.requests[0]?.messages.length === 2, "input");
      const served = b.seen.requests[0]!;
      assert.deepEqual(
        {
          ...served.request.head,
          metadata: Buffer.from(served.request.head.metadata),
          bridgedMessage: Buffer.from(served.request.head.bridgedMessage),
        },
        head,
      );
      served.request.send(Buffer.from("uno"));
      await harness.until(() => call.messages.length === 1, "an answer before the end of the input");
      call.request.halfClose();
      await harness.until(() => served.isHalfClosed, "half-close");
      served.request.send(Buffer.from("due"));
      served.request.end();
      await harness.until(() => call.isEnded, "end");
      assert.deepEqual(call.messages.map(text), ["uno", "due"]);
      assert.deepEqual(served.messages.map(text), ["one", ""]);
      assert.equal(served.isCanceled, false);
    });

    check("brings a failure after the answers before it, as it was given", async (harness) => {
      const [a, b] = await pair(harness);
      const call = requested(a.mesh, b.mesh.id, {});
      await harness.until(() => b.seen.requests.length === 1, "the request");
      b.seen.requests[0]!.request.send(Buffer.from("first"));
      b.seen.requests[0]!.request.fail(MassaError.fromGrpc(9, "precondition of mine"));
      await harness.until(() => call.failure !== undefined, "failure");
      assert.deepEqual([call.failure!.grpcStatus, call.failure!.message], [9, "precondition of mine"]);
      assert.deepEqual(call.messages.map(text), ["first"]);
    });

    check("carries a 12 MiB message each way", async (harness) => {
      const [a, b] = await pair(harness);
      const big = filled(12 * MiB, 5);
      const call = requested(a.mesh, b.mesh.id, {});
      call.request.send(big);
      call.request.halfClose();
      await harness.until(() => b.seen.requests[0]?.isHalfClosed === true, "the message");
      assert.ok(Buffer.from(b.seen.requests[0]!.messages[0]!).equals(big));
      b.seen.requests[0]!.request.send(b.seen.requests[0]!.messages[0]!);
      b.seen.requests[0]!.request.end();
      await harness.until(() => call.isEnded, "the answer");
      assert.ok(Buffer.from(call.messages[0]!).equals(big));
    });

    check("refuses a message that is too long", async (harness) => {
      const [a, b] = await pair(harness);
      const call = requested(a.mesh, b.mesh.id, {});
      assert.equal(call.request.send(filled(12 * MiB + 1, 1)), false);
      await harness.until(() => call.failure?.code === "exhausted", "exhausted");
      await harness.until(() => b.seen.requests[0]?.isCanceled === true, "cancel at the other end");
    });

    for (const direction of ["input", "output"] as const) {
      check(`holds back the sender of ${direction} that is not taken`, async (harness) => {
        const [a, b] = await pair(harness);
        const call = requested(a.mesh, b.mesh.id, {});
        await harness.until(() => b.seen.requests.length === 1, "the request");
        const served = b.seen.requests[0]!;
        const sender = direction === "input" ? call : served;
        const receiver = direction === "input" ? served : call;
        receiver.request.pause();
        let sent = 0;
        const fill = () => {
          while (sender.request.send(filled(20_000, sent++))) assert.ok(sent * 20_000 < 4 * windowBytes, "held back");
        };
        fill();
        await passed(harness, a, b);
        if (sender.drains > 0) fill();
        await passed(harness, a, b);
        assert.ok(sent * 20_000 <= 3 * windowBytes, `${sent} messages taken`);
        assert.equal(receiver.messages.length, 0);
        const drains = sender.drains;
        receiver.request.resume();
        await harness.until(() => sender.drains > drains && receiver.messages.length === sent, "everything, and drain");
        assert.ok(receiver.messages.every((message, index) => Buffer.from(message).equals(filled(20_000, index))));
      });
    }

    check("tells the answering side of a cancel, and the requester nothing more", async (harness) => {
      const [a, b] = await pair(harness);
      const call = requested(a.mesh, b.mesh.id, {});
      await harness.until(() => b.seen.requests.length === 1, "the request");
      call.request.cancel();
      b.seen.requests[0]!.request.send(Buffer.from("too late"));
      await harness.until(() => b.seen.requests[0]!.isCanceled, "cancel");
      assert.equal(b.seen.requests[0]!.request.send(Buffer.from("much too late")), false);
      await passed(harness, a, b);
      assert.deepEqual([call.messages.length, call.isEnded, call.failure], [0, false, undefined]);
    });

    check("ends a request whose time is over, at both ends", async (harness) => {
      const [a, b] = await pair(harness);
      const call = requested(a.mesh, b.mesh.id, { deadlineMs: 100 });
      await harness.until(() => call.failure !== undefined, "deadline");
      assert.equal(call.failure!.code, "deadline");
      await harness.until(() => b.seen.requests[0]?.isCanceled === true, "cancel");
    });

    check("keeps many requests apart", async (harness) => {
      const [a, b] = await pair(harness);
      b.seen.echo = true;
      const calls = Array.from({ length: 200 }, (_, index) => {
        const call = requested(a.mesh, b.mesh.id, {});
        call.request.send(filled(index * 100, index));
        call.request.halfClose();
        return call;
      });
      await harness.until(() => calls.every(({ isEnded }) => isEnded), "all answers");
      for (const [index, call] of calls.entries())
        assert.ok(Buffer.from(call.messages[0]!).equals(filled(index * 100, index)));
    });

    check("bounds the requests that are open", async (harness) => {
      const a = await open(harness, "a", { requestsMax: 4 });
      const b = await open(harness, "b");
      await linked(harness, a, b);
      const calls = Array.from({ length: 5 }, () => requested(a.mesh, b.mesh.id, {}));
      await harness.until(() => calls[4]!.failure?.code === "exhausted", "exhausted");
      calls[0]!.request.cancel();
      const again = requested(a.mesh, b.mesh.id, {});
      await harness.until(() => b.seen.requests.length === 5, "the place that became free");
      assert.ok([...calls.slice(1, 4), again].every(({ failure }) => failure === undefined));
    });

    check("fails what was open with a node that is gone, and finds its successor", async (harness) => {
      const [a, b] = await pair(harness);
      const asked = requested(a.mesh, b.mesh.id, {});
      const asking = requested(b.mesh, a.mesh.id, {});
      await harness.until(() => a.seen.requests.length === 1 && b.seen.requests.length === 1, "requests");
      await harness.kill(b.mesh);
      await harness.until(() => a.seen.lost.length === 1, "lost");
      assert.equal(asked.failure?.code, "unavailable");
      assert.equal(a.seen.requests[0]!.isCanceled, true);
      assert.equal(a.mesh.send(b.mesh.id, 1, filled(1, 1)), false);
      assert.deepEqual(a.mesh.peers(), []);
      assert.equal(asking.isEnded, false);
      const successor = await open(harness, "b");
      await harness.until(
        () => a.mesh.peer(successor.mesh.id) !== undefined && successor.mesh.peer(a.mesh.id) !== undefined,
        "a new link",
      );
      a.mesh.send(successor.mesh.id, 1, Buffer.from("welcome"));
      await harness.until(() => successor.seen.frames.length === 1, "a frame over it");
    });

    check("tells peers of a changed hello", async (harness) => {
      const [a, b] = await pair(harness);
      a.mesh.announce({ services: ["shop.Cart"], groups: ["carts"], incarnation: 7, members: filled(100_000, 3) });
      await harness.until(() => b.seen.changed.length === 1, "the change");
      assert.deepEqual(
        { ...b.peer.hello, members: Buffer.from(b.peer.hello.members) },
        { ...a.mesh.hello, members: Buffer.from(a.mesh.hello.members) },
      );
      assert.deepEqual(b.peer.hello.services, ["shop.Cart"]);
      const c = await open(harness, "c");
      await harness.until(() => c.mesh.peer(a.mesh.id) !== undefined, "a later node");
      await harness.until(() => c.mesh.peer(a.mesh.id)?.hello.incarnation === 7, "the hello as it is now");
    });

    check("does nothing any more once it is closed", async (harness) => {
      const [a, b] = await pair(harness);
      a.mesh.send(b.mesh.id, 1, Buffer.from("the last word"));
      await a.mesh[Symbol.asyncDispose]();
      await a.mesh[Symbol.asyncDispose]();
      await harness.until(() => b.seen.lost.length === 1, "lost");
      assert.deepEqual(
        b.seen.frames.map(({ body }) => text(body)),
        ["the last word"],
      );
      assert.equal(a.mesh.send(b.mesh.id, 1, filled(1, 1)), false);
      a.mesh.publish("topic", filled(1, 1));
      a.mesh.subscribe("topic");
      const call = requested(a.mesh, b.mesh.id, {});
      await harness.until(() => call.failure?.code === "unavailable", "unavailable");
    });
  });
}

interface Served {
  readonly request: IncomingRequest;
  readonly messages: Uint8Array[];
  isHalfClosed: boolean;
  isCanceled: boolean;
  drains: number;
}

interface Seen {
  readonly admitted: Peer[];
  readonly changed: Peer[];
  readonly lost: { readonly peer: Peer; readonly reason: string }[];
  readonly frames: { readonly from: string; readonly channel: number; readonly body: Uint8Array }[];
  readonly gossip: { readonly topic: string; readonly from: string; readonly body: Uint8Array }[];
  readonly requests: Served[];
  echo: boolean;
}

interface Node {
  readonly mesh: Mesh;
  readonly seen: Seen;
}

interface Called {
  readonly request: OutgoingRequest;
  readonly messages: Uint8Array[];
  isEnded: boolean;
  failure: MassaError | undefined;
  drains: number;
}

async function open(harness: MeshHarness, name: string, link?: Partial<LinkLimits>): Promise<Node> {
  const seen: Seen = { admitted: [], changed: [], lost: [], frames: [], gossip: [], requests: [], echo: false };
  const mesh = await harness.open(name, recorder(seen), link);
  return { mesh, seen };
}

async function pair(harness: MeshHarness): Promise<[Node & { readonly peer: Peer }, Node & { readonly peer: Peer }]> {
  const [a, b] = [await open(harness, "a"), await open(harness, "b")];
  await linked(harness, a, b);
  return [
    { ...a, peer: a.seen.admitted[0]! },
    { ...b, peer: b.seen.admitted[0]! },
  ];
}

async function linked(harness: MeshHarness, a: Node, b: Node): Promise<void> {
  await harness.until(() => a.mesh.peer(b.mesh.id) !== undefined && b.mesh.peer(a.mesh.id) !== undefined, "a link");
}

/** What was sent before has arrived, in both directions. */
async function passed(harness: MeshHarness, a: Node, b: Node): Promise<void> {
  for (const [from, to] of [
    [a, b],
    [b, a],
    [a, b],
  ] as const) {
    const before = to.seen.frames.length;
    from.mesh.send(to.mesh.id, 9, filled(1, 9));
    await harness.until(() => to.seen.frames.length > before, "a frame");
  }
}

function recorder(seen: Seen): MeshListener {
  return {
    admitted: (peer) => void seen.admitted.push(peer),
    changed: (peer) => void seen.changed.push(peer),
    lost: (peer, reason) => void seen.lost.push({ peer, reason }),
    frame: (peer, channel, body) => void seen.frames.push({ from: peer.id, channel, body }),
    gossip: (topic, from, body) => void seen.gossip.push({ topic, from, body }),
    request(_peer, request) {
      const served: Served = { request, messages: [], isHalfClosed: false, isCanceled: false, drains: 0 };
      seen.requests.push(served);
      return {
        message(message) {
          served.messages.push(message);
          if (seen.echo) request.send(message);
        },
        halfClose() {
          served.isHalfClosed = true;
          if (seen.echo) request.end();
        },
        cancel: () => void (served.isCanceled = true),
        drain: () => void (served.drains += 1),
      };
    },
  };
}

function requested(mesh: Mesh, peerId: string, head: Partial<RequestHead>): Called {
  const none = new Uint8Array(0);
  const whole = {
    channel: 1,
    service: "s",
    method: "m",
    metadata: none,
    deadlineMs: 0,
    hops: 0,
    traceParent: "",
    originNumber: 0,
    bridgedMessage: none,
    ...head,
  };
  const heard = {
    messages: [] as Uint8Array[],
    isEnded: false,
    failure: undefined as MassaError | undefined,
    drains: 0,
  };
  const request = mesh.request(peerId, whole, {
    message: (message) => void heard.messages.push(message),
    end: () => void (heard.isEnded = true),
    fail: (error) => void (heard.failure = error),
    drain: () => void (heard.drains += 1),
  });
  return Object.assign(heard, { request });
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

/** Bytes that are not the same all over, so that pieces in the wrong place show. */
function filled(size: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  for (let index = 0; index < size; index += 1) bytes[index] = (index * 31 + (index >> 8) + seed) & 0xff;
  return bytes;
}
