import { CrdtStream, answered, deleted } from "../crdt-stream.ts";
import { type Delta, erase, type State, update, type Update } from "../crdt-words.ts";
import { type Case, modelCase } from "../stage.ts";

/** Opens a stream of one fresh entity; every further one is of the same entity. */
type Open = (initial?: Delta) => CrdtStream;

/** A model case of one entity. */
export function onStream(number: string, type: string, title: string, run: (open: Open) => Promise<void>): Case {
  return modelCase(number, `${type}: ${title}`, (stage) => {
    const id = stage.fresh(type);
    return run((initial) => new CrdtStream(stage, id, initial));
  });
}

/** The entity deletes itself; with `before`, the deleting command changes it as well. */
export function deletedBy(number: string, type: string, by: Update, state: State, delta: Delta): Case {
  return onStream(number, type, "deleted by the entity", async (open) => {
    const entity = open();
    await entity.command([update(by)], state, delta);
    entity.send([erase]);
    await entity.reply({ ...answered(state), stateAction: deleted });
    await entity.passivate();
  });
}

/** Another node deleted the entity. */
export function deletedTo(number: string, type: string): Case {
  return onStream(number, type, "deleted elsewhere", async (open) => {
    const entity = open();
    entity.delete();
    await entity.passivate();
  });
}
