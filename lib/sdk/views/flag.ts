import type { CrdtDelta } from "../../wire/gen/cloudstate/crdt_pb.ts";
import { contentOf, Crdt, type CrdtType, deltaOf } from "./crdt.ts";

/** Off until somebody switches it on, for ever. */
export class Flag extends Crdt {
  #value = false;
  #enabled = false;

  get value(): boolean {
    return this.#value;
  }

  enable(): void {
    if (this.#value) return;
    this.#value = true;
    this.#enabled = true;
    this.touch();
  }

  override pending(): CrdtDelta | undefined {
    return this.#enabled ? deltaOf({ case: "flag", value: { value: true } }) : undefined;
  }

  override nothing(): CrdtDelta {
    return deltaOf({ case: "flag", value: { value: false } });
  }

  override commit(): void {
    this.#enabled = false;
  }

  override rollback(): void {
    if (this.#enabled) this.#value = false;
    this.#enabled = false;
  }

  override receive(change: CrdtDelta): void {
    if (contentOf(change, "flag").value) this.#value = true;
  }
}

/** The type of flags. */
export const flag: CrdtType<Flag> = { create: () => new Flag() };
