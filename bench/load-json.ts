import http2 from "node:http2";
import { connect, type Socket } from "node:net";
import type { Call } from "./load-grpc.ts";

const ignore = () => undefined;
const headEnd = Buffer.from("\r\n\r\n");

/** A connection kept alive, with at most one request on it. */
interface Connection {
  readonly socket: Socket;
  done: (failure: string) => void;
}

/** Posts JSON over one session of HTTP/2, as the gRPC calls go that it is compared with. */
export function openJsonOverHttp2(port: number, path: string, body: string): Call {
  const headers = { ":method": "POST", ":path": path, "content-type": "application/json" };
  const session = http2.connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 1000 });
  session.on("error", (error: Error) => {
    console.error(error.message);
    process.exit(1);
  });
  return (_, done) => {
    const stream = session.request(headers);
    let status = "none";
    stream.on("response", (received) => (status = String(received[":status"])));
    stream.on("data", ignore);
    stream.on("error", ignore); // the status tells
    stream.on("close", () => done(status === "200" ? "" : `status ${status}`));
    stream.end(body);
  };
}

/** Posts JSON over HTTP/1.1, on as many connections kept alive as there are calls at once. */
export function openJson(port: number, path: string, body: string): Call {
  const request = Buffer.from(
    `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  const idle: Connection[] = [];

  function open(): Connection {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    const connection: Connection = { socket, done: ignore };
    let rest: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      const answer = answerIn(rest);
      if (!answer) return;
      rest = rest.subarray(answer.length);
      const { done } = connection;
      connection.done = ignore;
      idle.push(connection);
      done(answer.status === 200 ? "" : `status ${answer.status}`);
    });
    socket.on("error", () => undefined); // its close tells
    socket.on("close", () => {
      const index = idle.indexOf(connection);
      if (index >= 0) idle.splice(index, 1);
      connection.done("the connection was closed");
    });
    return connection;
  }

  return (_, done) => {
    const connection = idle.pop() ?? open();
    connection.done = done;
    connection.socket.write(request);
  };
}

/** The answer that `bytes` begin with, once it is whole. */
function answerIn(bytes: Buffer): { readonly status: number; readonly length: number } | undefined {
  const end = bytes.indexOf(headEnd);
  if (end < 0) return undefined;
  const head = bytes.toString("latin1", 0, end).toLowerCase();
  const bodyLength = /\ncontent-length: *(\d+)/.exec(head)?.[1];
  if (bodyLength === undefined) throw new Error(`an answer without content-length:\n${head}`);
  const length = end + headEnd.length + Number(bodyLength);
  return bytes.length < length ? undefined : { status: Number(head.slice(9, 12)), length };
}
