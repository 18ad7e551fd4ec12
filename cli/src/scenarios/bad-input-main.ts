import { badInputScenario } from "./bad-input";

badInputScenario(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
