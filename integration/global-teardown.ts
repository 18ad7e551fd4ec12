import type { OpenedForTests } from "./global-setup";

export default async function tearDown(): Promise<void> {
  await (globalThis as OpenedForTests).assayKafkaEnvironment?.stop();
}
