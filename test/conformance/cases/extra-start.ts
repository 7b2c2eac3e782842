import { connect } from "node:net";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  EntityDiscovery,
  type EntitySpec,
  EntitySpecSchema,
  UserFunctionErrorSchema,
} from "../../../lib/wire/gen/cloudstate/entity_pb.ts";
import { same } from "../plain.ts";
import { Probe } from "../probe.ts";
import { protocolServices } from "../recorder.ts";
import { openRelay, type Tap } from "../relay.ts";
import { type Case, startCase, type StartStage } from "../stage.ts";
import { Passing } from "../taps.ts";

/** A proxy in its own process takes its time to start. */
const startMs = 20_000;
/** How long a rejected function must not be asked again. */
const quietMs = 200;

const pathOf = ({ name }: { readonly name: string }) => `/${EntityDiscovery.typeName}/${name}`;

/** What a function that describes itself so hears from the proxy, whose port must stay closed. */
async function rejection(stage: StartStage, described: (spec: EntitySpec) => EntitySpec): Promise<string> {
  const patience = () => stage.patience;
  const asked = new Probe<string>("discoveries", patience);
  const reports = new Probe<string>("reports", patience);
  const relay = await openRelay(protocolServices, stage.function, (path): Tap => {
    if (path === pathOf(EntityDiscovery.method.discover)) asked.push(path);
    return new (class extends Passing {
      override fromProxy(bytes: Buffer) {
        if (path === pathOf(EntityDiscovery.method.reportError)) {
          reports.push(fromBinary(UserFunctionErrorSchema, bytes).message);
        }
        return [bytes];
      }
      override fromFunction(bytes: Buffer) {
        if (path !== pathOf(EntityDiscovery.method.discover)) return { toProxy: [bytes], toFunction: [] };
        const spec = described(fromBinary(EntitySpecSchema, bytes));
        return { toProxy: [Buffer.from(toBinary(EntitySpecSchema, spec))], toFunction: [] };
      }
    })();
  });
  const proxy = await stage.launch(relay.port);
  try {
    await asked.next(startMs);
    const report = await reports.next();
    same(await asked.surplus(quietMs), undefined, "another discovery");
    same(await isOpen(proxy.address), false, "whether the port is open");
    return report;
  } finally {
    await proxy.stop();
    relay.close();
  }
}

function isOpen(address: string): Promise<boolean> {
  const [host, port] = address.split(":");
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(Number(port), host);
  socket.on("connect", () => resolve(true));
  socket.on("error", () => resolve(false));
  return promise.finally(() => socket.destroy());
}

/** X44–X46: functions that a proxy must not serve. */
export const extraStartCases: readonly Case[] = [
  startCase(
    "X44",
    "a function of another protocol version is rejected, told why, and not asked again",
    async (stage) => {
      const report = await rejection(stage, (spec) => {
        spec.serviceInfo!.protocolMinorVersion = 1;
        return spec;
      });
      same(/\b0\.1\b[^]*\b0\.2\b/.test(report), true, `both versions in: ${report}`);
    },
  ),

  startCase("X45", "a service of an unknown kind is rejected", async (stage) => {
    const report = await rejection(stage, (spec) => {
      spec.entities[0]!.entityType = "cloudstate.function.StatelessFunction";
      return spec;
    });
    same(report.includes("cloudstate.function.StatelessFunction"), true, `the kind in: ${report}`);
  }),

  startCase("X46", "an entity whose methods have no key is rejected", async (stage) => {
    const report = await rejection(stage, (spec) => {
      const action = spec.entities.find(({ serviceName }) => serviceName.endsWith(".ActionTwo"))!;
      action.entityType = "cloudstate.valueentity.ValueEntity";
      return spec;
    });
    same(/ActionTwo[^]*Call|Call[^]*ActionTwo/.test(report), true, `service and method in: ${report}`);
  }),
];
