/** `npm run bench -- <what>`: measures, prints a table, compares with the kept baseline. */
import { pipeline } from "./pipeline/run-pipeline";

const benches: Readonly<Record<string, (argv: readonly string[]) => Promise<number>>> = { pipeline };

const [name = "", ...argv] = process.argv.slice(2);
const bench = benches[name];
if (bench) {
  bench(argv).then(
    (code) => process.exit(code),
    (error: unknown) => {
      process.stderr.write(`bench ${name}: ${error instanceof Error ? error.stack : String(error)}\n`);
      process.exit(1);
    },
  );
} else {
  process.stderr.write(`usage: npm run bench -- ${Object.keys(benches).join("|")} [options]\n`);
  process.exit(2);
}
