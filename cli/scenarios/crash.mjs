// Built from cli/src/scenarios/crash.ts, where its options are described.
import "../dist/scenarios/crash-main.js";
