import { NodeClientSession } from "./http2-node-client.ts";
import { NodeServerSession } from "./http2-node-server.ts";
import type { Http2Engine } from "./http2.ts";

/** HTTP/2 by `node:http2`. */
export const nodeHttp2: Http2Engine = {
  connect: (socket, limits, listener) => new NodeClientSession(socket, limits, listener),
  accept: (socket, limits, listener) => new NodeServerSession(socket, limits, listener),
};
