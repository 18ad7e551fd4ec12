import { progressText } from "@assay/cli/progress/bar";
import { liveLine, plain_wait_ms } from "@assay/cli/progress/live-line";
import { findingLine, statusLine, whyLine } from "@assay/cli/progress/status-line";
import type { Finding } from "@assay/report-api/schemas/finding";
import type { Status } from "@assay/report-api/schemas/status";

const at = 1_000_000;

test("each phase of an assessment says how far it is", () => {
  expect(progressText({ kind: "starting", what: "the services" }, at)).toBe(
    "starting    [························]   0 % the services",
  );
  expect(progressText({ kind: "preparing", begins_at: at + 12_001 }, at)).toBe(
    "preparing   [························]   0 % begins in 13 s",
  );
  const observing = { kind: "observing", begins_at: at, ends_at: at + 3_600_000, seen: ", 3 findings so far" } as const;
  expect(progressText(observing, at + 900_000)).toBe(
    "observing   [██████··················]  25 % 45 min 0 s left, 3 findings so far",
  );
  expect(progressText({ kind: "evaluating", since: at }, at + 2_000)).toBe(
    "evaluating  [████████████████████████] 100 % for 2 s",
  );
});

const none = { critical: 0, high: 0, medium: 0, low: 0, informational: 0 };
const status = {
  at: "",
  hosts: { enrolled: 1, observed: 1, active: 1 },
  telemetry: { events: 12_345, dropped: 0 },
  windows: { closed: 7, late_parts: 0, last_closed: null },
  findings: { active: none },
  assessments: { running: 1 },
} satisfies Status;

test("the live line tells host, telemetry, windows and findings", () => {
  expect(statusLine("web-1", { ...status, windows: { ...status.windows, closed: 0 } })).toBe(
    "web-1 · waiting for the first window",
  );
  expect(statusLine("web-1", status)).toBe("web-1 · 12,345 events · 7 windows · findings: none yet");
  const dropped = { ...status, telemetry: { events: 1, dropped: 2 }, findings: { active: { ...none, high: 1, low: 3 } } };
  expect(statusLine("web-1", dropped)).toBe("web-1 · 1 events, 2 dropped · 7 windows · findings: 1 high, 3 low");
});

test("a finding's line shows no control characters and no empty fields", () => {
  const finding = {
    severity: "high",
    title: "Shell",
    identity: { Image: "/bin/sh\u001b[2J", Port: "" },
    application_id: "",
  } as unknown as Finding;
  expect(findingLine(finding)).toBe("  high           Shell: Image /bin/sh [2J");
});

describe("the live line", () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  function output(isTTY: boolean) {
    const written: string[] = [];
    return { written, write: (text: string) => void written.push(text), isTTY, columns: () => 20 };
  }

  test("is redrawn in place on a terminal, cut to its width, below lasting lines", () => {
    const terminal = output(true);
    const line = liveLine(terminal);
    line.set("first");
    line.set("second, which is too long for it");
    jest.advanceTimersByTime(500);
    line.write("lasting");
    line.close();
    const clear = "\r\u001b[2K";
    expect(terminal.written).toEqual([
      `${clear}first`,
      `${clear}second, which is to`,
      `${clear}lasting\n`,
      `${clear}second, which is to`,
      clear,
    ]);
  });

  test("is a plain line now and then where there is no terminal, and only when it has changed", () => {
    const file = output(false);
    const line = liveLine(file);
    line.set("one");
    jest.advanceTimersByTime(plain_wait_ms * 2);
    line.set("two");
    line.write("lasting");
    line.close();
    expect(file.written).toEqual(["one\n", "lasting\n", "two\n"]);
  });
});

test.each([
  ["A shell was started. Then more.", "A shell was started."],
  ["Uses v1.2 of it\nand no more", "Uses v1.2 of it and no more"],
])("why: the first sentence of %j", (description, sentence) => expect(whyLine(description).trim()).toBe(sentence));
