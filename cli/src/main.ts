import { exitCodes, processIo } from "./io";
import { run } from "./run";

run(process.argv.slice(2), processIo()).then((code) => {
  process.exitCode = code;
  // Who interrupts doesn't wait for what is still under way.
  if (code === exitCodes.interrupted) process.exit();
});
