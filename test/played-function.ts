import type { UserFunction } from "../lib/user-function/user-function.ts";

/** A user function whose streams the test plays. Whatever waits for it has room, unless `share` says otherwise. */
export function playedFunction(
  open: UserFunction["open"],
  share: UserFunction["share"] = () => () => true,
): UserFunction {
  return {
    address: "the test",
    isThere: true,
    open,
    share,
    unary: () => Promise.reject(new Error("not asked")),
    watch: () => () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
}
