import { crashScenario } from "./crash";

crashScenario(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
