import { grown, none, ProtobufReader } from "./protobuf-reader.ts";
import { type ProtobufWriter, shared } from "./protobuf-writer.ts";

/** A `google.protobuf.Any`. The bytes are a slice of what was received, never decoded and never encoded again. */
export interface AnyValue {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** One header of a call; keys keep their case. */
export interface MetadataEntry {
  readonly key: string;
  readonly value: string | Uint8Array;
}

/** An answer to a caller. Without a payload it counts as no answer. */
export interface Reply {
  readonly payload: AnyValue | undefined;
  readonly metadata: readonly MetadataEntry[];
}

/** Another command, whose answer becomes the answer to the caller. */
export interface Forward {
  readonly serviceName: string;
  readonly commandName: string;
  readonly payload: AnyValue | undefined;
  readonly metadata: readonly MetadataEntry[];
}

/** Another command, whose answer nobody sees. */
export interface SideEffect extends Forward {
  readonly synchronous: boolean;
}

/** The user function's "no" to a command (0: to none), or to the entity's whole stream. */
export interface Failure {
  readonly commandId: number;
  readonly description: string;
  readonly restart: boolean;
}

/** What a caller is told. */
export type ClientAction =
  | ({ readonly type: "reply" } & Reply)
  | ({ readonly type: "forward" } & Forward)
  | ({ readonly type: "failure" } & Failure);

/** One response of an action. */
export interface ActionResponse {
  readonly response: ClientAction | undefined;
  readonly sideEffects: readonly SideEffect[];
}

/** A command on an entity's stream. Its metadata is left unset, as the protocol wants it. */
export interface EntityCommand {
  readonly entityId: string;
  /** 1, 2, 3 … on each stream. */
  readonly id: number;
  readonly name: string;
  readonly payload: AnyValue | undefined;
  readonly streamed: boolean;
}

/** An ActionCommand as a gRPC frame. Empty names and metadata and an absent payload are left out. */
export function encodeActionCommand(
  serviceName: string,
  name: string,
  payload: AnyValue | undefined,
  metadata: readonly MetadataEntry[],
): Uint8Array {
  const writer = shared.begin();
  if (metadata.length > 0) {
    const mark = writer.mark;
    writeMetadata(writer, metadata);
    writer.close(5, mark);
  }
  writeAnyField(writer, 4, payload);
  if (name !== "") writer.name(3, name);
  if (serviceName !== "") writer.name(2, serviceName);
  return writer.finishFrame();
}

/** Throws `protocol` for what is no ActionResponse. */
export function decodeActionResponse(bytes: Uint8Array): ActionResponse {
  const reader = new ProtobufReader(bytes, "ActionResponse");
  let response: ClientAction | undefined;
  let sideEffects: readonly SideEffect[] = none;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) response = readFailureAction(reader, response);
    else if (field === 2) response = readReplyAction(reader, response);
    else if (field === 3) response = readForwardAction(reader, response);
    else if (field === 4) sideEffects = grown(sideEffects, readSideEffect(reader));
    else reader.skip();
  }
  return { response, sideEffects };
}

/** An Any, without a frame. */
export function encodeAny(any: AnyValue): Uint8Array {
  const writer = shared.begin();
  writeAny(writer, any);
  return writer.finish();
}

/** Throws `protocol` for what is no Any. */
export function decodeAny(bytes: Uint8Array): AnyValue {
  return readAny(new ProtobufReader(bytes, "Any"));
}

/** A Metadata message, without a frame. */
export function encodeMetadata(metadata: readonly MetadataEntry[]): Uint8Array {
  const writer = shared.begin();
  writeMetadata(writer, metadata);
  return writer.finish();
}

/** Throws `protocol` for what is no Metadata. */
export function decodeMetadata(bytes: Uint8Array): readonly MetadataEntry[] {
  return readMetadata(new ProtobufReader(bytes, "Metadata"), none);
}

/** A Reply, without a frame. */
export function encodeReply(reply: Reply): Uint8Array {
  const writer = shared.begin();
  if (reply.metadata.length > 0) {
    const mark = writer.mark;
    writeMetadata(writer, reply.metadata);
    writer.close(2, mark);
  }
  writeAnyField(writer, 1, reply.payload);
  return writer.finish();
}

/** Throws `protocol` for what is no Reply. */
export function decodeReply(bytes: Uint8Array): Reply {
  return readReply(new ProtobufReader(bytes, "Reply"));
}

/** The fields of a Command. */
export function writeEntityCommand(writer: ProtobufWriter, command: EntityCommand): void {
  if (command.streamed) writer.bool(5, true);
  writeAnyField(writer, 4, command.payload);
  if (command.name !== "") writer.name(3, command.name);
  if (command.id !== 0) writer.number(2, command.id);
  if (command.entityId !== "") writer.text(1, command.entityId);
}

/** A field that holds an Any; nothing when there is none. */
export function writeAnyField(writer: ProtobufWriter, field: number, any: AnyValue | undefined): void {
  if (any === undefined) return;
  const mark = writer.mark;
  writeAny(writer, any);
  writer.close(field, mark);
}

/** Reads the content of a field that holds a ClientAction; `before` is what an earlier occurrence of it said. */
export function readClientAction(reader: ProtobufReader, before: ClientAction | undefined): ClientAction | undefined {
  const outer = reader.enter();
  let action = before;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) action = readReplyAction(reader, action);
    else if (field === 2) action = readForwardAction(reader, action);
    else if (field === 3) action = readFailureAction(reader, action);
    else reader.skip();
  }
  reader.leave(outer);
  return action;
}

/** Reads the content of a field that holds a SideEffect. */
export function readSideEffect(reader: ProtobufReader): SideEffect {
  const outer = reader.enter();
  let synchronous = false;
  const target = { ...noTarget };
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 4) synchronous = reader.bool();
    else if (!readTargetField(reader, target, field, 5)) reader.skip();
  }
  reader.leave(outer);
  return { ...target, synchronous };
}

/** Reads the content of a field that holds a Failure. */
export function readFailure(reader: ProtobufReader, before: Failure | undefined): Failure {
  const outer = reader.enter();
  let { commandId, description, restart } = before ?? noFailure;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) commandId = reader.commandId();
    else if (field === 2) description = reader.text();
    else if (field === 3) restart = reader.bool();
    else reader.skip();
  }
  reader.leave(outer);
  return { commandId, description, restart };
}

/** Reads the content of a field that holds an Any. */
export function readAnyField(reader: ProtobufReader, before?: AnyValue): AnyValue {
  const outer = reader.enter();
  const any = readAny(reader, before);
  reader.leave(outer);
  return any;
}

const noBytes = new Uint8Array(0);
const noFailure: Failure = { commandId: 0, description: "", restart: false };

interface Target {
  serviceName: string;
  commandName: string;
  payload: AnyValue | undefined;
  metadata: readonly MetadataEntry[];
}

const noTarget: Readonly<Target> = { serviceName: "", commandName: "", payload: undefined, metadata: none };

function readReplyAction(reader: ProtobufReader, before: ClientAction | undefined): ClientAction {
  const outer = reader.enter();
  const { payload, metadata } = readReply(reader, before?.type === "reply" ? before : undefined);
  reader.leave(outer);
  return { type: "reply", payload, metadata };
}

function readForwardAction(reader: ProtobufReader, before: ClientAction | undefined): ClientAction {
  const outer = reader.enter();
  const target = before?.type === "forward" ? { ...before } : { type: "forward" as const, ...noTarget };
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (!readTargetField(reader, target, field, 4)) reader.skip();
  }
  reader.leave(outer);
  return target;
}

function readFailureAction(reader: ProtobufReader, before: ClientAction | undefined): ClientAction {
  return { type: "failure", ...readFailure(reader, before?.type === "failure" ? before : undefined) };
}

function readTargetField(reader: ProtobufReader, target: Target, field: number, metadataField: number): boolean {
  if (field === 1) target.serviceName = reader.name();
  else if (field === 2) target.commandName = reader.name();
  else if (field === 3) target.payload = readAnyField(reader, target.payload);
  else if (field === metadataField) target.metadata = readMetadataField(reader, target.metadata);
  else return false;
  return true;
}

function readReply(reader: ProtobufReader, before?: Reply): Reply {
  let payload = before?.payload;
  let metadata = before?.metadata ?? none;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) payload = readAnyField(reader, payload);
    else if (field === 2) metadata = readMetadataField(reader, metadata);
    else reader.skip();
  }
  return { payload, metadata };
}

function readAny(reader: ProtobufReader, before?: AnyValue): AnyValue {
  let typeUrl = before?.typeUrl ?? "";
  let value = before?.value ?? noBytes;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) typeUrl = reader.name();
    else if (field === 2) value = reader.bytes();
    else reader.skip();
  }
  return { typeUrl, value };
}

function readMetadataField(reader: ProtobufReader, before: readonly MetadataEntry[]): readonly MetadataEntry[] {
  const outer = reader.enter();
  const metadata = readMetadata(reader, before);
  reader.leave(outer);
  return metadata;
}

/** Adds to `before`, which is a list that this codec made: a message may come in pieces. */
function readMetadata(reader: ProtobufReader, before: readonly MetadataEntry[]): readonly MetadataEntry[] {
  let entries = before;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field !== 1) {
      reader.skip();
      continue;
    }
    entries = grown(entries, readMetadataEntry(reader));
  }
  return entries;
}

function readMetadataEntry(reader: ProtobufReader): MetadataEntry {
  const outer = reader.enter();
  let key = "";
  let value: string | Uint8Array = "";
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) key = reader.name();
    else if (field === 2) value = reader.text();
    else if (field === 3) value = reader.bytes();
    else reader.skip();
  }
  reader.leave(outer);
  return { key, value };
}

function writeMetadata(writer: ProtobufWriter, metadata: readonly MetadataEntry[]): void {
  for (let at = metadata.length - 1; at >= 0; at -= 1) {
    const { key, value } = metadata[at]!;
    const mark = writer.mark;
    if (typeof value === "string") writer.text(2, value);
    else writer.bytes(3, value);
    if (key !== "") writer.text(1, key);
    writer.close(1, mark);
  }
}

function writeAny(writer: ProtobufWriter, { typeUrl, value }: AnyValue): void {
  if (value.byteLength > 0) writer.bytes(2, value);
  if (typeUrl !== "") writer.name(1, typeUrl);
}
