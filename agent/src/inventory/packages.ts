/** Installed packages, from dpkg's own database: no program is run. */
import { readFile } from "node:fs/promises";
import { parseDpkgStatus } from "../parse/dpkg-status";
import { failure } from "../read/read";
import { type Collected, collected, type Place } from "./section";
import { SliceTimer } from "./slice-timer";

export async function collectPackages({ root }: Place): Promise<Collected<"packages">> {
  const path = "/var/lib/dpkg/status";
  let text: string;
  try {
    text = await readFile(root + path, "utf8");
  } catch (error) {
    const { kind } = failure(error);
    const status = kind === "gone" ? "absent" : "unreadable";
    return {
      status,
      reason: kind === "gone" ? "no dpkg database" : `${path} is denied`,
      content: { ecosystem: "none", packages: [] },
    };
  }
  const slices = new SliceTimer();
  const packages = [];
  for (const found of parseDpkgStatus(text)) {
    if (found) packages.push(found);
    await slices.turn();
  }
  packages.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.architecture < b.architecture ? -1 : 1));
  return collected<"packages">({ ecosystem: "dpkg", packages });
}
