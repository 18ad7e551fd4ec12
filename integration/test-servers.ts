/** Where the tests' servers are, as global-setup.ts left it. */

export function testBrokers(): readonly string[] {
  return setting("ASSAY_TEST_KAFKA_BROKERS").split(",");
}

export function testRegistryUrl(): string {
  return setting("ASSAY_TEST_SCHEMA_REGISTRY_URL");
}

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} isn't set: integration tests run by \`npm run test:integration\``);
  return value;
}
