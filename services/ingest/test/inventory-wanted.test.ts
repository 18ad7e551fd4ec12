import type { ControlView } from "@assay/control/follow";
import { inventoryWantedBy } from "@assay/ingest/inventory-wanted";

interface Given {
  readonly packages?: readonly number[];
  readonly assessments?: readonly { readonly begins_at: number; readonly state: string }[];
}

/** One application, of the host h1 alone. */
function control({ packages = [], assessments = [] }: Given): ControlView {
  const version = (id: string, effective_from: number, value: object) => ({ id, version: 1, at: 0, effective_from, value });
  const application = version("one", 0, { name: "one", selector: { tag: "host", in: ["h1"] }, tiers: [] });
  return {
    revision: 1,
    at: (_kind: string, time: number) => packages.filter((from) => from <= time).map((from, i) => version(`p${i}`, from, {})),
    all: () => assessments.map((a, i) => version(`a${i}`, a.begins_at, { ...a, application_id: "one" })),
    latest: () => undefined,
    versionAt: () => application,
  } as unknown as ControlView;
}

test("inventory is wanted since the newest package in force", () => {
  const wanted = inventoryWantedBy(control({ packages: [100, 300, 900] }));
  expect(wanted("h1", 500)).toBe(300);
  expect(wanted("h1", 900)).toBe(900);
});

test("inventory is wanted since the latest assessment that covers the host has begun", () => {
  const assessments = [
    { begins_at: 200, state: "collecting" },
    { begins_at: 400, state: "pending" },
    { begins_at: 450, state: "completed" },
  ];
  const wanted = inventoryWantedBy(control({ packages: [100], assessments }));
  expect(wanted("h1", 399)).toBe(200);
  expect(wanted("h1", 500)).toBe(400);
  expect(wanted("h2", 500)).toBe(100);
});

test("nothing asks for inventory where there are no packages", () => {
  expect(inventoryWantedBy(control({}))("h1", 500)).toBe(0);
});
