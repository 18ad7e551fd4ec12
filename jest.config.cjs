/** Tests run from source by swc; types are checked by `npm run check`. */
module.exports = {
  testMatch: ["<rootDir>/**/test/**/*.test.ts"],
  testPathIgnorePatterns: ["/node_modules/", "/dist/"],
  modulePathIgnorePatterns: ["/dist/"],
  transform: {
    "^.+\\.ts$": ["@swc/jest", { jsc: { parser: { syntax: "typescript" }, target: "es2022" }, module: { type: "commonjs" } }],
  },
  moduleNameMapper: {
    "^@assay/(schemas|agent)/(.*)$": "<rootDir>/$1/src/$2",
    "^@assay/(stream|store|control|rules|runtime)/(.*)$": "<rootDir>/packages/$1/src/$2",
    "^@assay/(ingest|correlator|evaluator|report-api)/(.*)$": "<rootDir>/services/$1/src/$2",
    "^@assay/cli/(.*)$": "<rootDir>/cli/src/$1",
  },
  testTimeout: 30_000,
  errorOnDeprecated: true,
};
