import { murmur2, partitionOfKey } from "@assay/stream/partitioner";

describe("the partitioner", () => {
  // Kafka's own expectations of its murmur2.
  it.each([
    [Buffer.from("21"), -973932308],
    [Buffer.from("foobar"), -790332482],
    [Buffer.from("a-little-bit-long-string"), -985981536],
    [Buffer.from("a-little-bit-longer-string"), -1486304829],
    [Buffer.from("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"), -58897971],
    [Buffer.from(["a", "b", "c"].map((c) => c.charCodeAt(0))), 479470107],
  ])("hashes %s as Kafka does", (key, hash) => {
    expect(murmur2(key)).toBe(hash);
  });

  it("takes the hash without its sign, modulo the partitions", () => {
    expect(partitionOfKey("foobar", 64)).toBe((-790332482 & 0x7fffffff) % 64);
    expect(partitionOfKey(Buffer.from("foobar"), 64)).toBe(partitionOfKey("foobar", 64));
  });

  it("spreads hosts over all partitions about evenly", () => {
    const counts = new Array<number>(4).fill(0);
    for (let host = 0; host < 4_000; host++) {
      const partition = partitionOfKey(`host-${host}`, 4);
      counts[partition] = (counts[partition] ?? 0) + 1;
    }
    expect(Math.min(...counts)).toBeGreaterThan(850);
  });
});
