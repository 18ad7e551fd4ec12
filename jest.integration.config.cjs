/** Tests against a real Kafka and a real schema registry: `npm run test:integration`. One after the other, since they share a broker and two cores. */
const base = require("./jest.config.cjs");

const skipped = process.env.ASSAY_SKIP_INTEGRATION === "1";
if (skipped) process.stderr.write("integration tests are SKIPPED, because ASSAY_SKIP_INTEGRATION=1\n");

module.exports = {
  ...base,
  testMatch: ["<rootDir>/integration/**/*.test.ts"],
  testPathIgnorePatterns: skipped ? ["/"] : base.testPathIgnorePatterns,
  passWithNoTests: skipped,
  globalSetup: "<rootDir>/integration/global-setup.ts",
  globalTeardown: "<rootDir>/integration/global-teardown.ts",
  maxWorkers: 1,
  testTimeout: 120_000,
};
