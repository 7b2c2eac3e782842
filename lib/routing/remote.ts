import { MassaError } from "../core/errors.ts";
import type { Clock } from "../core/world.ts";
import { channels, type IncomingRequest, type Mesh, type Peer, type RequestReceiver } from "../mesh/mesh.ts";
import {
  type AnyValue,
  decodeAny,
  decodeMetadata,
  decodeReply,
  encodeAny,
  encodeMetadata,
  encodeReply,
} from "../wire/protocol.ts";
import type { Call, Caller, Command, Router } from "./command.ts";
import type { OtherNodes } from "./router.ts";

/** Commands to and from other nodes, over the peer link. The caller's node needs no descriptor of the target. */
export interface RemoteCommands extends OtherNodes {
  /** Answers a request of channel `routing` through this node's own router. */
  serve(request: IncomingRequest, router: Router): RequestReceiver;
}

/** `prefers` says whether a peer is a good choice now (in touch, not leaving); peers that it refuses are the last resort. */
export function createRemoteCommands(mesh: Mesh, clock: Clock, prefers: (peer: Peer) => boolean): RemoteCommands {
  let turn = 0;
  let lastNumber = 0;

  function choose(service: string): Peer | undefined {
    const hosts = mesh.peers().filter((peer) => peer.hello.services.includes(service));
    const good = hosts.filter(prefers);
    const from = good.length > 0 ? good : hosts;
    turn = (turn + 1) % 0x7fffffff;
    return from[turn % Math.max(1, from.length)];
  }

  function open(command: Command, caller: Caller): Call {
    const peer = choose(command.service);
    if (!peer) {
      caller.fail(new MassaError("unavailable", `no node in touch hosts ${command.service}`));
      return idle;
    }
    const deadlineMs = command.deadlineAtMs === undefined ? 0 : Math.max(1, command.deadlineAtMs - clock.monotonic());
    lastNumber += 1;
    const request = mesh.request(
      peer.id,
      {
        channel: channels.routing,
        service: command.service,
        method: command.method,
        metadata: encodeMetadata(command.metadata),
        deadlineMs: Math.ceil(deadlineMs),
        hops: command.hops,
        traceParent: "",
        originNumber: lastNumber,
        bridgedMessage: new Uint8Array(0),
      },
      {
        message: (bytes) => {
          let reply: ReturnType<typeof decodeReply>;
          try {
            reply = decodeReply(bytes);
          } catch (failure) {
            request.cancel();
            caller.fail(MassaError.from(failure, "protocol"));
            return;
          }
          if (reply.payload !== undefined) caller.reply(reply.payload, reply.metadata);
        },
        end: () => caller.end(),
        fail: (error) => caller.fail(error),
        drain: () => caller.drain(),
      },
    );
    if (command.payload) request.send(encodeAny(command.payload));
    return {
      send: (payload) => request.send(encodeAny(payload)),
      halfClose: () => request.halfClose(),
      cancel: () => request.cancel(),
      pause: () => request.pause(),
      resume: () => request.resume(),
    };
  }

  return {
    host: (service) => mesh.peers().some((peer) => peer.hello.services.includes(service)),
    open,
    serve: (request, router) => new ServedRequest(request, router, clock),
  };
}

const idle: Call = {
  send: () => true,
  halfClose: () => undefined,
  cancel: () => undefined,
  pause: () => undefined,
  resume: () => undefined,
};

/**
 * One command from another node. It is opened when its first message or its half-close has come: a method that streams in
 * gets its messages one by one, any other the first one as its payload.
 */
class ServedRequest implements RequestReceiver, Caller {
  readonly #request: IncomingRequest;
  readonly #router: Router;
  readonly #clock: Clock;
  #call: Call | undefined;
  #cancelled = false;
  #blocked = false;

  constructor(request: IncomingRequest, router: Router, clock: Clock) {
    this.#request = request;
    this.#router = router;
    this.#clock = clock;
  }

  message(bytes: Uint8Array): void {
    let payload: AnyValue;
    try {
      payload = decodeAny(bytes);
    } catch (failure) {
      this.#call?.cancel();
      this.#request.fail(MassaError.from(failure, "protocol"));
      return;
    }
    if (this.#call) {
      if (!this.#call.send(payload)) this.#request.pause();
    } else {
      this.#open(payload);
    }
  }

  halfClose(): void {
    if (!this.#call) this.#open(undefined);
    this.#call?.halfClose();
  }

  cancel(): void {
    this.#cancelled = true;
    this.#call?.cancel();
  }

  reply(payload: AnyValue, metadata: Command["metadata"]): void {
    if (this.#request.send(encodeReply({ payload, metadata }))) return;
    this.#blocked = true;
    this.#call?.pause();
  }

  end(): void {
    this.#request.end();
  }

  fail(error: MassaError): void {
    this.#request.fail(error);
  }

  /** The peer takes more of the answer, or the service more input: either way both may go on. */
  drain(): void {
    this.#blocked = false;
    this.#request.resume();
    this.#call?.resume();
  }

  #open(payload: Command["payload"]): void {
    const { service, method, metadata, deadlineMs, hops } = this.#request.head;
    const call = this.#router.open(
      {
        service,
        method,
        metadata: decodeMetadata(metadata),
        payload,
        ...(deadlineMs > 0 ? { deadlineAtMs: this.#clock.monotonic() + deadlineMs } : {}),
        // A node that sends a command on because it lost the service meanwhile must not send it in circles.
        hops: hops + 1,
      },
      this,
    );
    this.#call = call;
    if (this.#cancelled) call.cancel();
    else if (this.#blocked) call.pause();
  }
}
