import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  ServerReflection,
  type ServerReflectionRequestSchema,
  type ServerReflectionResponseSchema,
} from "../../../lib/wire/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { discovered } from "../discovered.ts";
import { type Case, proxyCase } from "../stage.ts";

type Request = MessageInitShape<typeof ServerReflectionRequestSchema>;
type Response = MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"];

const host = "conformance";

/** P2. */
export const reflectionCases: readonly Case[] = [
  proxyCase("P2", "reflection through the proxy", async (stage) => {
    const { entities } = await discovered(stage.function);
    const names = entities.map(({ serviceName }) => serviceName).sort();
    const service = [ServerReflection.typeName, ...names].map((name) => ({ name }));
    const call = stage.client.open(ServerReflection.method.serverReflectionInfo);
    const exchange = async (originalRequest: Request, messageResponse: Response & object) => {
      call.send(originalRequest);
      await call.expect({ validHost: host, originalRequest, messageResponse });
    };
    const listed: Response = { case: "listServicesResponse", value: { service } };
    await exchange({ host, messageRequest: { case: "listServices", value: "" } }, listed);
    await exchange({ host, messageRequest: { case: "listServices", value: "nonsense.blabla" } }, listed);
    await exchange(
      { host, messageRequest: { case: "fileContainingSymbol", value: "nonsense.blabla.Void" } },
      { case: "fileDescriptorResponse", value: {} },
    );
    call.end();
    await call.completed();
  }),
];
