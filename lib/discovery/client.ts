import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { MassaError } from "../core/errors.ts";
import type { Clock } from "../core/world.ts";
import type { UserFunction } from "../user-function/user-function.ts";
import {
  type EntitySpec,
  EntitySpecSchema,
  ProxyInfoSchema,
  UserFunctionErrorSchema,
} from "../wire/gen/cloudstate/entity_pb.ts";
import type { DiscoveryClient } from "./discovery.ts";

const service = "/cloudstate.EntityDiscovery";

/** Discovery over the link to the user function. A call that takes longer than `timeoutMs` fails with `deadline`. */
export function createDiscoveryClient(userFunction: UserFunction, clock: Clock, timeoutMs: number): DiscoveryClient {
  async function call(method: string, message: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    const limit = new AbortController();
    const late = `the user function did not answer ${method} within ${timeoutMs} ms`;
    const cancel = clock.after(timeoutMs, () => limit.abort(new MassaError("deadline", late)));
    try {
      const either = signal ? AbortSignal.any([signal, limit.signal]) : limit.signal;
      return await userFunction.unary(`${service}/${method}`, message, either);
    } finally {
      cancel();
    }
  }

  return {
    async discover(proxy, signal) {
      return specIn(await call("discover", toBinary(ProxyInfoSchema, proxy), signal));
    },
    async reportError(message) {
      await call("reportError", toBinary(UserFunctionErrorSchema, create(UserFunctionErrorSchema, { message })));
    },
  };
}

function specIn(bytes: Uint8Array): EntitySpec {
  try {
    return fromBinary(EntitySpecSchema, bytes);
  } catch (failure) {
    throw new MassaError("protocol", `the answer to discover is no EntitySpec: ${MassaError.from(failure).message}`, {
      cause: failure,
    });
  }
}
