import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Admission, type AdmissionOptions, type AdmissionStep } from "../lib/mesh/admission.ts";
import { decodeHello, encodeHello } from "../lib/mesh/hello.ts";
import type { Hello } from "../lib/mesh/mesh.ts";
import { unsharedConflict } from "../lib/mesh/unshared.ts";

function hello(nodeName: string, changes: Partial<Hello> = {}): Hello {
  const replica = Buffer.from(nodeName.padEnd(16, "-")).toString("hex");
  return {
    protocolVersion: 1,
    cluster: "test",
    nodeName,
    replica,
    incarnation: 3,
    services: ["a.B"],
    unsharedServices: [],
    groups: ["carts"],
    addresses: ["10.0.0.1:9005"],
    members: new Uint8Array([1, 2]),
    ...changes,
  };
}

type Changes = Partial<Omit<AdmissionOptions, "hello">> & { readonly hello?: Hello };

function side(role: "dialler" | "listener", changes: Changes = {}): Admission {
  const [selfId, peerId] = role === "dialler" ? ["D", "L"] : ["L", "D"];
  const nonce = new Uint8Array(32).fill(role === "dialler" ? 1 : 2);
  const { hello: said = hello(selfId), ...rest } = changes;
  return new Admission({
    role,
    keys: ["key"],
    selfId,
    peerId,
    cluster: "test",
    nonce,
    hello: encodeHello(said, []),
    refusal: (theirs) => unsharedConflict(theirs, said, []),
    ...rest,
  });
}

function unframed(bytes: Uint8Array): Uint8Array {
  let at = 0;
  while (bytes[at]! >= 0x80) at += 1;
  return bytes.subarray(at + 1);
}

interface Run {
  readonly dialler: AdmissionStep["outcome"];
  readonly listener: AdmissionStep["outcome"];
  /** What each side sent, in order. */
  readonly sent: { readonly dialler: Uint8Array[]; readonly listener: Uint8Array[] };
}

function run(dialler: Admission, listener: Admission): Run {
  const outcomes: { dialler: AdmissionStep["outcome"]; listener: AdmissionStep["outcome"] } = {
    dialler: undefined,
    listener: undefined,
  };
  const sent = { dialler: [] as Uint8Array[], listener: [] as Uint8Array[] };
  const queue: { readonly to: "dialler" | "listener"; readonly bytes: Uint8Array }[] = [];
  const take = (from: "dialler" | "listener", step: AdmissionStep) => {
    outcomes[from] ??= step.outcome;
    for (const bytes of step.send) {
      sent[from].push(bytes);
      queue.push({ to: from === "dialler" ? "listener" : "dialler", bytes });
    }
  };
  take("dialler", dialler.begin());
  take("listener", listener.begin());
  for (let next = queue.shift(); next; next = queue.shift())
    take(next.to, (next.to === "dialler" ? dialler : listener).receive(unframed(next.bytes)));
  return { ...outcomes, sent };
}

function reason(outcome: AdmissionStep["outcome"]): string {
  return outcome?.type === "refused" ? `${outcome.by}: ${outcome.reason}` : "";
}

suite("admission", () => {
  test("two who know the key learn each other's hello", () => {
    const { dialler, listener } = run(side("dialler"), side("listener"));
    assert.ok(dialler?.type === "admitted" && listener?.type === "admitted");
    assert.equal(dialler.greeted.hello.nodeName, "L");
    assert.equal(listener.greeted.hello.nodeName, "D");
  });

  test("one common key of two is enough, whichever place it has", () => {
    for (const [left, right] of [
      [["new", "old"], ["old"]],
      [["old"], ["new", "old"]],
      [["new", "old"], ["new"]],
      [
        ["new", "old"],
        ["newer", "new"],
      ],
    ] as const) {
      const { dialler, listener } = run(side("dialler", { keys: left }), side("listener", { keys: right }));
      assert.deepEqual([dialler?.type, listener?.type], ["admitted", "admitted"]);
    }
  });

  test("a wrong key is refused with the reason on both sides, and no hello was told", () => {
    const { dialler, listener, sent } = run(side("dialler", { keys: ["wrong"] }), side("listener"));
    assert.match(reason(dialler), /^peer: .*cluster's key/);
    assert.match(reason(listener), /^us: .*cluster's key/);
    for (const bytes of [...sent.dialler, ...sent.listener]) assert.equal(Buffer.from(bytes).includes("a.B"), false);
  });

  test("a listener with the wrong key gets no hello", () => {
    const listener = side("listener", { keys: ["wrong"] });
    const dialler = side("dialler");
    const [first] = dialler.begin().send;
    listener.receive(unframed(first!));
    dialler.receive(unframed(listener.begin().send[0]!));
    const forged = side("listener", { keys: ["wrong"] });
    forged.receive(unframed(first!));
    forged.begin();
    const proofOfDialler = side("dialler", { keys: ["wrong"] });
    const asked = proofOfDialler.receive(unframed(forged.begin().send[0]!));
    const answer = forged.receive(unframed(asked.send[0]!));
    assert.equal(answer.outcome, undefined, "the forger believes its own key");
    const step = dialler.receive(unframed(answer.send[0]!));
    assert.match(reason(step.outcome), /^us: .*cluster's key/);
    assert.ok(step.send.every((bytes) => !Buffer.from(bytes).includes("a.B")));
  });

  test("a proof that is sent back proves nothing", () => {
    const dialler = side("dialler");
    dialler.begin();
    const nonceOfMirror = side("listener").begin().send[0]!;
    const proof = dialler.receive(unframed(nonceOfMirror)).send[0]!;
    assert.match(reason(dialler.receive(unframed(proof)).outcome), /^us: .*cluster's key/);
  });

  test("a nonce that is sent back is refused", () => {
    const dialler = side("dialler");
    const nonce = dialler.begin().send[0]!;
    assert.match(reason(dialler.receive(unframed(nonce)).outcome), /nonce is not fresh/);
  });

  test("a proof made for one listener is worth nothing at another (a relay in between)", () => {
    const dialler = side("dialler", { peerId: "M" });
    const listener = side("listener", { peerId: "M" });
    const { listener: outcome } = run(dialler, listener);
    assert.match(reason(outcome), /^us: .*cluster's key/);
  });

  test("a proof of an earlier greeting is worth nothing in a later one", () => {
    const earlier = run(side("dialler"), side("listener"));
    const later = side("listener", { nonce: new Uint8Array(32).fill(9) });
    later.begin();
    later.receive(unframed(earlier.sent.dialler[0]!));
    assert.match(reason(later.receive(unframed(earlier.sent.dialler[1]!)).outcome), /^us: .*cluster's key/);
  });

  test("a hello other than the proven one is refused", () => {
    const honest = run(side("dialler"), side("listener"));
    const other = run(side("dialler", { hello: hello("D", { services: ["evil.Twin"] }) }), side("listener"));
    const listener = side("listener");
    listener.begin();
    listener.receive(unframed(honest.sent.dialler[0]!));
    listener.receive(unframed(honest.sent.dialler[1]!));
    assert.match(reason(listener.receive(unframed(other.sent.dialler[2]!)).outcome), /not the one/);
  });

  test("another cluster and a version too old are named", () => {
    const strange = run(side("dialler", { hello: hello("D", { cluster: "prod" }), cluster: "prod" }), side("listener"));
    assert.match(
      `${reason(strange.dialler)} ${reason(strange.listener)}`,
      /cluster "test".*"prod"|cluster "prod".*"test"/,
    );
  });

  test("any bytes are answered with a refusal or patience, never with an admission", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 120 }), { maxLength: 5 }), (greetings) => {
        const listener = side("listener");
        listener.begin();
        for (const bytes of greetings) assert.notEqual(listener.receive(bytes).outcome?.type, "admitted");
      }),
    );
  });

  test("a hello survives its encoding; what is none is recognised", () => {
    const said = hello("D");
    const neighbours = [{ id: "X", addresses: ["h:1", "h:2"] }];
    const read = decodeHello(encodeHello(said, neighbours));
    assert.deepEqual({ ...read!.hello, members: Uint8Array.from(read!.hello.members) }, said);
    assert.deepEqual(read!.neighbours, neighbours);
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => assert.equal(decodeHello(bytes), undefined)));
  });
});
