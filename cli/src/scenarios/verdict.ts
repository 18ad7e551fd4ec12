/** What a scenario found: a line for each check, and how many failed. */

export class Verdict {
  failures = 0;

  expect(what: string, right: boolean): void {
    print(`${right ? "ok     " : "NOT OK "} ${what}`);
    if (!right) this.failures++;
  }
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
