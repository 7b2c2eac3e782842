import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { MassaError } from "../core/errors.ts";
import { decodeHello, protocolVersion, type Introduction } from "./hello.ts";
import type { Hello } from "./mesh.ts";

const label = "massa-hello-1";
const nonceBytes = 32;
const strangerBytesMax = 4 * 1024;
const greetingBytesMax = 4 * 1024 * 1024;

/** One end of a greeting, told once the dialler and the other end have proved to know the cluster key. */
export interface AdmissionOptions {
  readonly role: "dialler" | "listener";
  /** Keys that are good, the one to move to first; one or two. An empty key proves nothing and is for loopback only. */
  readonly keys: readonly string[];
  readonly selfId: string;
  readonly peerId: string;
  /** This node's encoded hello. */
  readonly hello: Uint8Array;
  readonly cluster: string;
  /** Why a node that says this of itself cannot be in one mesh with this one; undefined: it can. */
  readonly refusal: (theirs: Hello) => string | undefined;
  /** 32 random bytes, never used again. */
  readonly nonce: Uint8Array;
}

/** What a step leads to: bytes to send (length-prefixed by the carrier), and an end, if there is one. */
export interface AdmissionStep {
  readonly send: readonly Uint8Array[];
  readonly outcome?:
    | { readonly type: "admitted"; readonly greeted: Introduction }
    | { readonly type: "refused"; readonly by: "us" | "peer"; readonly reason: string };
}

interface Greeting {
  readonly nonce: Uint8Array;
  readonly proofs: readonly Uint8Array[];
  readonly helloHash: Uint8Array;
  readonly hello: Uint8Array;
  readonly refusal: string;
}

/**
 * Both ends' proof of the cluster key on a connection whose peer ids are already authenticated. Nonces first; then the dialler proves,
 * the listener proves and says hello, the dialler says hello. A hello goes only to who has proved, and only once: order and role are in the proof,
 * so a proof sent back, or sent again on another connection, is worth nothing.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #hello: Uint8Array;
  #peerNonce: Uint8Array | undefined;
  #peerHelloHash: Uint8Array | undefined;
  #over = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#hello = options.hello;
  }

  /** Longest greeting to take now: little from a stranger who dialled, a whole hello from others. */
  get bytesMax(): number {
    return this.#options.role === "listener" && !this.#peerHelloHash ? strangerBytesMax : greetingBytesMax;
  }

  /** What is sent first. */
  begin(): AdmissionStep {
    return { send: [encodeGreeting({ nonce: this.#options.nonce })] };
  }

  /** Takes one greeting of the other end. */
  receive(bytes: Uint8Array): AdmissionStep {
    const greeting = decodeGreeting(bytes);
    if (this.#over && !greeting?.refusal) return { send: [] };
    if (!greeting) return this.#refuse("what it sent is no greeting");
    if (greeting.refusal !== "")
      return this.#end({ send: [], outcome: { type: "refused", by: "peer", reason: greeting.refusal.slice(0, 500) } });
    if (!this.#peerNonce) return this.#meet(greeting);
    if (!this.#peerHelloHash) return this.#verify(greeting);
    return this.#hear(greeting);
  }

  #meet(greeting: Greeting): AdmissionStep {
    if (greeting.nonce.length !== nonceBytes || same(greeting.nonce, this.#options.nonce))
      return this.#refuse("its nonce is not fresh");
    this.#peerNonce = greeting.nonce;
    return { send: this.#options.role === "dialler" ? [this.#proof()] : [] };
  }

  #verify(greeting: Greeting): AdmissionStep {
    const { role, keys } = this.#options;
    if (greeting.helloHash.length !== 32) return this.#refuse("it gave no proof of the cluster key");
    const good = keys.map((key) => this.#sign(key, role === "dialler" ? "listener" : "dialler", greeting.helloHash));
    if (!greeting.proofs.slice(0, 2).some((proof) => good.some((expected) => same(proof, expected)))) {
      return this.#refuse("it does not have this cluster's key (mesh.key)");
    }
    this.#peerHelloHash = greeting.helloHash;
    if (role === "listener") return { send: [this.#proof(this.#hello)] };
    const heard = this.#hear(greeting);
    return heard.outcome?.type === "admitted" ? { ...heard, send: [encodeGreeting({ hello: this.#hello })] } : heard;
  }

  #hear(greeting: Greeting): AdmissionStep {
    if (!same(sha256(greeting.hello), this.#peerHelloHash!))
      return this.#refuse("its hello is not the one it gave its proof for");
    const greeted = decodeHello(greeting.hello);
    const { cluster } = this.#options;
    if (!greeted) return this.#refuse("its hello cannot be read");
    const { hello } = greeted;
    if (hello.cluster !== cluster)
      return this.#refuse(`it belongs to cluster "${hello.cluster}", this node to "${cluster}" (mesh.cluster)`);
    if (hello.protocolVersion < protocolVersion - 1)
      return this.#refuse(`it speaks version ${hello.protocolVersion}, this node ${protocolVersion}`);
    const refusal = this.#options.refusal(hello);
    if (refusal !== undefined) return this.#refuse(refusal);
    return this.#end({ send: [], outcome: { type: "admitted", greeted } });
  }

  #refuse(reason: string): AdmissionStep {
    return this.#end({ send: [encodeGreeting({ refusal: reason })], outcome: { type: "refused", by: "us", reason } });
  }

  #end(step: AdmissionStep): AdmissionStep {
    this.#over = true;
    return step;
  }

  #proof(hello?: Uint8Array): Uint8Array {
    const helloHash = sha256(this.#hello);
    const proofs = this.#options.keys.map((key) => this.#sign(key, this.#options.role, helloHash));
    return encodeGreeting({ proofs, helloHash, ...(hello && { hello }) });
  }

  /** Covers label, role, both ids and nonces (the dialler's first) and the hello of the one who proves. */
  #sign(key: string, role: "dialler" | "listener", helloHash: Uint8Array): Uint8Array {
    const { selfId, peerId, nonce } = this.#options;
    const mine = [Buffer.from(selfId), nonce];
    const theirs = [Buffer.from(peerId), this.#peerNonce!];
    const parties = this.#options.role === "dialler" ? [...mine, ...theirs] : [...theirs, ...mine];
    const hmac = createHmac("sha256", key);
    for (const part of [Buffer.from(label), Buffer.from(role), ...parties, helloHash]) {
      hmac.update(Uint8Array.of(part.length >> 8, part.length & 0xff)).update(part);
    }
    return hmac.digest();
  }
}

function encodeGreeting(greeting: Partial<Greeting>): Uint8Array {
  const writer = new BinaryWriter();
  if (greeting.nonce) writer.uint32(10).bytes(greeting.nonce);
  for (const proof of greeting.proofs ?? []) writer.uint32(18).bytes(proof);
  if (greeting.helloHash) writer.uint32(26).bytes(greeting.helloHash);
  if (greeting.hello) writer.uint32(34).bytes(greeting.hello);
  if (greeting.refusal !== undefined) writer.uint32(42).string(greeting.refusal);
  const body = writer.finish();
  if (body.length > greetingBytesMax)
    throw new MassaError("exhausted", `this node's hello has ${body.length} bytes, more than ${greetingBytesMax}`);
  return new BinaryWriter().bytes(body).finish();
}

function decodeGreeting(bytes: Uint8Array): Greeting | undefined {
  const none: Uint8Array = new Uint8Array(0);
  let [nonce, helloHash, hello, refusal] = [none, none, none, ""];
  const proofs: Uint8Array[] = [];
  try {
    const reader = new BinaryReader(bytes);
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (field === 1) nonce = reader.bytes();
      else if (field === 2) proofs.push(reader.bytes());
      else if (field === 3) helloHash = reader.bytes();
      else if (field === 4) hello = reader.bytes();
      else if (field === 5) refusal = reader.string();
      else reader.skip(wireType, field);
    }
  } catch {
    return undefined; // Not protobuf: the caller refuses and says so.
  }
  return { nonce, proofs, helloHash, hello, refusal };
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}

function same(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}
