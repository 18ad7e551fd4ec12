/** Lets the event loop turn when a slice of work has taken long enough. */
export class SliceTimer {
  private started = performance.now();

  async turn(): Promise<void> {
    if (performance.now() - this.started < slice_ms) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.started = performance.now();
  }
}

const slice_ms = 8;
