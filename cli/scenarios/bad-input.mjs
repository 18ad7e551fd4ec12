// Built from cli/src/scenarios/bad-input.ts, where its options are described.
import "../dist/scenarios/bad-input-main.js";
