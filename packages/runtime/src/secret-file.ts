/**
 * Secrets from files, as container engines and service managers hand them out: <variable>_FILE names a file that holds the secret.
 * A file isn't shown by `docker inspect`, not inherited by children, and not readable by everybody in /proc.
 */
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { resolve } from "node:path";

export function secretFileVariable(variable: string): string {
  return `${variable}_FILE`;
}

/** A secret is a line; what is larger is another file, and stays unread. */
const secret_file_bytes_max = 16 * 1024;

/** Without the newline that editors put at the end. A problem reads on after the file's name, and shows nothing of its content. */
export function readSecretFile(file: string): { readonly value: string } | { readonly problem: string } {
  let content: string;
  try {
    const descriptor = openSync(resolve(file), "r");
    try {
      const { size } = fstatSync(descriptor);
      if (size > secret_file_bytes_max) {
        return { problem: `which has ${size} bytes, above the limit of ${secret_file_bytes_max} bytes` };
      }
      content = readFileSync(descriptor, "utf8");
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    return { problem: `which can't be read (${(error as NodeJS.ErrnoException).code ?? (error as Error).message})` };
  }
  const value = content.replace(/\r?\n$/, "");
  return value === "" ? { problem: "which is empty" } : { value };
}
