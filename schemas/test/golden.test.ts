import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Codec, folderIds } from "@assay/schemas/codec";
import { schemaVersions } from "@assay/schemas/generated/schemas";
import { goldenFiles, readableBytes } from "@assay/schemas/golden";

const root = join(__dirname, "..");
const codec = new Codec(folderIds());

describe("records of every schema version", () => {
  test.each(schemaVersions.map((v) => [`${v.name}.${v.version}`, v] as const))("%s is read as it was written", (_, version) => {
    const files = goldenFiles(root, version);
    const decoded = codec.decode(readFileSync(files.avro));
    if (decoded.name === "undecodable") throw new Error(decoded.detail);
    expect(decoded.name).toBe(version.name);
    // A later version may have added fields; none that was written may have changed.
    expect(JSON.parse(JSON.stringify(decoded.value, readableBytes))).toMatchObject(JSON.parse(readFileSync(files.json, "utf8")));
  });

  test("have their golden files, and no file is left over", () => {
    const expected = schemaVersions.flatMap((v) => [`${v.name}.${v.version}.avro`, `${v.name}.${v.version}.json`]);
    expect(readdirSync(join(root, "test/golden")).sort()).toEqual(expected.sort());
  });

  test("of the current version are written byte for byte as before", () => {
    const newest = new Map(schemaVersions.map((v) => [v.name, v]));
    for (const version of newest.values()) {
      const wire = readFileSync(goldenFiles(root, version).avro);
      const decoded = codec.decode(wire);
      if (decoded.name === "undecodable") throw new Error(decoded.detail);
      expect(codec.encode(version.name, decoded.value).equals(wire)).toBe(true);
    }
  });
});
