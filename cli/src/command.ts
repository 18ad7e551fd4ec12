/** What every command of the program has, and what is typed for it. */
import { type Command, InvalidArgumentError, Option } from "commander";

export function command(program: Command, name: string): Command {
  // Subcommands inherit exitOverride and outputs only when made by command().
  return program.command(name).allowExcessArguments(false).helpOption("-h, --help", "print this help");
}

export function dataOption(text?: string): Option {
  return new Option(
    "--data <dir>",
    text ?? "data directory (ASSAY_DATA_DIR; default: /var/lib/assay as root, else ~/.local/share/assay)",
  );
}

export function formatOption(what: string): Option {
  return new Option("--format <format>", what).choices(["table", "json"]).default("table");
}

/** Asserts nothing of where it is shown: a whole number in a range, for a limit. */
export function parseCount(most: number): (text: string) => number {
  return (text) => {
    const count = /^\d{1,9}$/.test(text) ? Number(text) : 0;
    if (count < 1 || count > most) throw new InvalidArgumentError(`write a number from 1 to ${most}.`);
    return count;
  };
}
