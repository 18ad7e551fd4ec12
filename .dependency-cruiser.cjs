/** Import directions. Each rule says why it stands; ARCHITECTURE.md has the same as invariants. */
const room = "^(schemas|packages/[^/]+|services/[^/]+|agent|cli)/src";

module.exports = {
  forbidden: [
    {
      name: "services-are-strangers",
      comment:
        "Services never import each other: what they share crosses a topic or stands in packages/, so each can run, scale and fail alone.",
      severity: "error",
      from: { path: "^services/([^/]+)/" },
      to: { path: "^services/", pathNot: "^services/$1/" },
    },
    {
      name: "packages-know-no-service",
      comment: "What is shared must not depend on who shares it.",
      severity: "error",
      from: { path: "^(packages|schemas)/" },
      to: { path: "^(services|agent|cli)/" },
    },
    {
      name: "schemas-stand-alone",
      comment: "The contracts on the topics are read by everything, so they import nothing of ours.",
      severity: "error",
      from: { path: "^schemas/" },
      to: { path: "^(packages|services|agent|cli)/" },
    },
    {
      name: "rules-are-pure",
      comment: "The engine is a function of evidence and rules: no log, no store, no control. Only read-packages.ts reads files.",
      severity: "error",
      from: { path: "^packages/rules/src/", pathNot: "read-packages\\.ts$" },
      to: { path: "^(packages/(stream|store|control|runtime)/|fs$|node:fs|http|net$|child_process)" },
    },
    {
      name: "store-knows-no-stream",
      comment: "The store is told what to write; where that came from is its caller's business.",
      severity: "error",
      from: { path: "^packages/store/" },
      to: { path: "^packages/(stream|control|rules)/" },
    },
    {
      name: "one-way-to-lmdb",
      comment: "LMDB is behind the stream port, so that Kafka can stand there too.",
      severity: "error",
      from: { pathNot: "^packages/stream/" },
      to: { path: "node_modules/lmdb/" },
    },
    {
      name: "one-way-to-clickhouse",
      comment: "ClickHouse is behind the store.",
      severity: "error",
      from: { pathNot: "^packages/store/" },
      to: { path: "node_modules/(@clickhouse|chdb|@chdb|ffi-rs)/" },
    },
    {
      name: "one-writer-of-analytics",
      comment: "The correlator and ingest don't touch the store: the evaluator is the one writer, the report API reads.",
      severity: "error",
      from: { path: "^services/(ingest|correlator)/" },
      to: { path: "^packages/store/" },
    },
    {
      name: "agent-is-small",
      comment: "The agent may run as root on every host: it imports the schemas and the runtime, and no service's part.",
      severity: "error",
      from: { path: "^agent/" },
      to: { path: "^(packages/(stream|store|control|rules)|services|cli)/" },
    },
    {
      name: "only-the-cli-composes",
      comment: "One place knows everything; what measures the whole stands on it.",
      severity: "error",
      from: { pathNot: "^(cli|bench)/" },
      to: { path: "^cli/" },
    },
    {
      name: "no-cycles",
      comment: "A cycle has no bottom to begin reading at; types count too.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "source-imports-no-test",
      comment: "Tests are not shipped.",
      severity: "error",
      from: { path: room },
      to: { path: "/test/|^integration/" },
    },
    {
      name: "no-undeclared-dependency",
      comment: "What a room imports its package.json names, so that a container of one service holds what it needs.",
      severity: "error",
      from: { path: room },
      to: { dependencyTypes: ["npm-no-pkg", "npm-unknown", "npm-dev"] },
    },
  ],
  options: {
    doNotFollow: { path: ["node_modules", "dist"] },
    parser: "swc",
    tsPreCompilationDeps: true,
    combinedDependencies: false,
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["types", "node", "require", "default"] },
  },
};
