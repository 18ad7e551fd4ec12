/** A log file that can't grow without end: past its limit it becomes `<name>.1`, and a new one begins. */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";

export const log_file_bytes_max = 10 * 1024 * 1024;

export class LogFile {
  private fd: number;
  private bytes: number;

  constructor(
    readonly path: string,
    private readonly bytes_max = log_file_bytes_max,
  ) {
    this.fd = openSync(path, "a", 0o600);
    this.bytes = fstatSync(this.fd).size;
  }

  /** A full disk must not end the supervisor: what can't be written is lost, and the next write tries again. */
  write(chunk: Buffer): void {
    try {
      if (this.bytes + chunk.length > this.bytes_max && this.bytes > 0) this.turn();
      this.bytes += writeSync(this.fd, chunk);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    }
  }

  close(): void {
    closeSync(this.fd);
  }

  private turn(): void {
    renameSync(this.path, `${this.path}.1`);
    closeSync(this.fd);
    this.fd = openSync(this.path, "a", 0o600);
    this.bytes = 0;
  }
}
