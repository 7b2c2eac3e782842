import { create, type DescMethod, type MessageInitShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Command } from "../wire/gen/cloudstate/entity_pb.ts";
import {
  type ValueEntityActionSchema,
  type ValueEntityInit,
  type ValueEntityStreamIn,
  type ValueEntityStreamOut,
  ValueEntityStreamOutSchema,
} from "../wire/gen/cloudstate/value_entity_pb.ts";
import { actionOf, type Answer, answered, type Effect, Effects, Failure } from "./answer.ts";
import type { DataType } from "./data-type.ts";
import type { EntityConversation, Send } from "./protocol.ts";
import { type Served, commandOf } from "./service.ts";
import type { ValueContext, ValueService } from "./value-entity.ts";

/** One value entity while it is active. What it keeps is the value as it is stored, so that a failed command leaves nothing. */
export class ValueConversation implements EntityConversation<ValueEntityStreamIn> {
  readonly #services: ReadonlyMap<string, ValueService>;
  readonly #send: Send<ValueEntityStreamOut>;
  #entity: Served<ValueService> | undefined;
  #stored: Any | undefined;
  #commandId = 0n;

  constructor(services: ReadonlyMap<string, ValueService>, send: Send<ValueEntityStreamOut>) {
    this.#services = services;
    this.#send = send;
  }

  get commandId(): bigint {
    return this.#commandId;
  }

  async receive({ message }: ValueEntityStreamIn): Promise<void> {
    switch (message.case) {
      case "init":
        return this.#init(message.value);
      case "command":
        this.#commandId = message.value.id;
        await this.#send(await this.#command(message.value));
        this.#commandId = 0n;
        return;
      case undefined:
        throw new TypeError("a message without content came from the proxy");
    }
  }

  #init({ serviceName, entityId, state }: ValueEntityInit): void {
    const service = this.#services.get(serviceName);
    if (!service) throw new TypeError(`there is no value entity ${serviceName}`);
    if (this.#entity) throw new TypeError(`${serviceName} ${entityId} was initialised twice`);
    this.#entity = { service, id: entityId };
    this.#stored = state?.value;
  }

  async #command(command: Command): Promise<ValueEntityStreamOut> {
    const { entity, method, handle } = commandOf(this.#entity, command);
    const work = new Work(entity, this.#stored);
    const answer = await answered(async () => (await handle(work)) as Answer<DescMethod>);
    const action = actionOf(method, answer, command.id);
    const failed = answer instanceof Failure;
    const stateAction = failed ? undefined : work.stateAction;
    if (stateAction) this.#stored = work.stored;
    return create(ValueEntityStreamOutSchema, {
      message: {
        case: "reply",
        value: {
          commandId: command.id,
          ...(action && { clientAction: { action } }),
          ...(stateAction && { stateAction }),
          sideEffects: failed ? [] : work.effects.take(),
        },
      },
    });
  }
}

/** What one command does, apart from its answer; of several changes the last counts. */
class Work implements ValueContext<DataType> {
  readonly entityId: string;
  readonly effects = new Effects();
  readonly #service: ValueService;
  #read: { readonly state: unknown } | undefined;
  /** The value as it will be stored. */
  stored: Any | undefined;
  stateAction: MessageInitShape<typeof ValueEntityActionSchema> | undefined;

  constructor({ service, id }: Served<ValueService>, stored: Any | undefined) {
    this.#service = service;
    this.entityId = id;
    this.stored = stored;
  }

  get exists(): boolean {
    return this.stored !== undefined;
  }

  get state(): unknown {
    const { state, initial } = this.#service;
    this.#read ??= { state: this.stored ? state.fromAny(this.stored) : initial(this.entityId) };
    return this.#read.state;
  }

  readonly update = (init: unknown): void => {
    const { state } = this.#service;
    const value = state.made(init);
    this.stored = state.toAny(value);
    this.#read = { state: value };
    this.stateAction = { action: { case: "update", value: { value: this.stored } } };
  };

  readonly delete = (): void => {
    this.stored = undefined;
    this.#read = undefined;
    this.stateAction = { action: { case: "delete", value: {} } };
  };

  readonly effect: Effect = (method, input, options) => this.effects.add(method, input, options);
}
