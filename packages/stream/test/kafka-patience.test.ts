import { transient } from "@assay/stream/kafka/errors";
import { GivenUpError, Patience } from "@assay/stream/kafka/patience";

const what = "a test";

describe("waiting for brokers", () => {
  it("tries again, and recovers before it does, until it is known", async () => {
    const steps: string[] = [];
    const answer = await new Patience(10_000, undefined).untilKnown(
      async () => {
        steps.push("try");
        if (steps.length < 5) throw transient("away");
        return steps.length;
      },
      { what, recover: async () => void steps.push("recover") },
    );
    expect(answer).toBe(5);
    expect(steps).toEqual(["try", "recover", "try", "recover", "try"]);
  });

  it("counts a failed recovery as a failed attempt", async () => {
    let tries = 0;
    let recoveries = 0;
    const answer = await new Patience(10_000, undefined).untilKnown(
      async () => {
        if (++tries === 1) throw transient("away");
        return tries;
      },
      {
        what,
        recover: async () => {
          if (++recoveries === 1) throw transient("still away");
        },
      },
    );
    expect([answer, tries, recoveries]).toEqual([2, 2, 2]);
  });

  it("rejects at once with what waiting doesn't mend", async () => {
    const refused = new Error("no right to it");
    let tries = 0;
    const work = async () => {
      tries++;
      throw refused;
    };
    await expect(new Patience(10_000, undefined).untilKnown(work, { what })).rejects.toBe(refused);
    expect(tries).toBe(1);
  });

  it("gives up after its time, naming the limit, its setting and the reason", async () => {
    const patience = new Patience(200, undefined);
    const work = () => Promise.reject(transient("nobody there"));
    const given_up = patience.untilKnown(work, { what });
    await expect(given_up).rejects.toThrow(GivenUpError);
    await expect(given_up).rejects.toThrow(
      /a test was given up after \d+ ms; brokers may be away for 200 ms \(ASSAY_KAFKA_RETRY_MS\): nobody there/,
    );
  });

  it("ends when what it is for is over, or the log is closed", async () => {
    const away = transient("away");
    const patience = new Patience(60_000, undefined);
    let tries = 0;
    const over = patience.untilKnown(() => Promise.reject(away), { what, isOver: () => ++tries === 2 });
    await expect(over).rejects.toBe(away);
    const waiting = patience.untilKnown(() => Promise.reject(away), { what });
    setTimeout(() => patience.close(), 20);
    await expect(waiting).rejects.toBe(away);
    expect(patience.ready()).toEqual({ ready: true });
  });
});
