import { judgeSection, judgeWindow } from "@assay/rules/outcome";
import { loaded, ruleText } from "./sigma";

const directories = loaded(
  ruleText("s:\n  WritableBy: world\ncondition: s", "logsource: { category: directory, product: linux }"),
);
const directory = (writable_by: string) => ({ path: "/opt", mode: "0755", owner: "root", group: "root", writable_by });
const section = (status: "collected" | "partial" | "absent" | "unreadable", ...list: string[]) => ({
  name: "directories",
  status,
  reason: status === "collected" ? "" : "why",
  content: { directories: list.map(directory) },
});

describe("a section", () => {
  test.each([
    [section("collected", "world", "root"), { outcome: "match", reason: "" }],
    [section("collected", "root"), { outcome: "clear", reason: "" }],
    [section("collected"), { outcome: "clear", reason: "" }],
    [section("partial", "world"), { outcome: "match", reason: "" }],
    [section("partial", "root"), { outcome: "insufficient_evidence", reason: "why" }],
    [section("absent"), { outcome: "not_applicable", reason: "why" }],
    [section("unreadable"), { outcome: "insufficient_evidence", reason: "why" }],
    [
      { ...section("collected"), content: { directories: 5 } },
      { outcome: "error", reason: "the inventory of directories is malformed: directories.directories must be a list" },
    ],
    [
      { ...section("collected"), content: null },
      { outcome: "error", reason: expect.stringContaining("malformed") },
    ],
  ])("%j", (given, judged) => {
    expect(judgeSection(directories, given).map((j) => j.judged)).toEqual([judged]);
  });

  test("tells what matched", () => {
    const [judgement] = judgeSection(directories, section("collected", "world", "root"));
    expect(judgement?.matches.map((item) => item.fields.WritableBy)).toEqual(["world"]);
  });

  test("decides just the rules that are asked of it", () => {
    expect(judgeSection(directories, { name: "users", status: "collected", reason: "", content: { users: [] } })).toEqual([]);
  });

  test("of another platform's rule is not applicable", () => {
    const windows = loaded(ruleText("s:\n  Path: x\ncondition: s", "logsource: { category: directory, product: windows }"));
    expect(judgeSection(windows, section("collected", "world"))[0]?.judged.outcome).toBe("not_applicable");
  });
});

describe("settings", () => {
  const outcome = (detection: string, name: string, status: "collected" | "partial", settings: Record<string, string>) => {
    const rules = loaded(ruleText(detection, `logsource: { category: setting, product: linux, service: ${name} }`));
    return judgeSection(rules, { name, status, reason: "why", content: { settings, sources: {} } })[0]?.judged.outcome;
  };
  const weak = "s:\n  x: weak\ncondition: s";
  const unset = "s:\n  x: null\ncondition: s";

  test("a default is the rule's to express", () => {
    expect(outcome(unset, "sshd", "collected", { y: "1" })).toBe("match");
    expect(outcome(unset, "sshd", "collected", { x: "1" })).toBe("clear");
  });

  test("a missing setting isn't clear where the rule says nothing of it", () => {
    expect(outcome(weak, "sshd", "collected", { y: "1" })).toBe("insufficient_evidence");
    expect(outcome(weak, "sshd", "collected", { x: "strong" })).toBe("clear");
  });

  test("a kernel setting that was read decides though others were not", () => {
    expect(outcome(weak, "kernel", "partial", { x: "strong" })).toBe("clear");
    expect(outcome(weak, "kernel", "partial", { x: "weak" })).toBe("match");
    expect(outcome(unset, "kernel", "partial", { y: "1" })).toBe("insufficient_evidence");
  });

  test("elsewhere a file that was not read may overrule one that was", () => {
    expect(outcome(weak, "sshd", "partial", { x: "weak" })).toBe("insufficient_evidence");
  });
});

describe("entries that could not be read wholly", () => {
  const users = loaded(ruleText("s:\n  Password: empty\ncondition: s", "logsource: { category: user, product: linux }"));
  const user = (name: string, password: string) => ({ name, uid: 1, gid: 1, home: "/", shell: "/bin/sh", password });
  const judge = (...list: object[]) =>
    judgeSection(users, { name: "users", status: "collected", reason: "", content: { users: list } })[0]?.judged;

  test("don't make the rule clear", () => {
    expect(judge(user("a", "set"))?.outcome).toBe("clear");
    expect(judge(user("a", "set"), user("b", "unknown"))).toEqual({
      outcome: "insufficient_evidence",
      reason: "Password could not be read everywhere",
    });
    expect(judge(user("a", "empty"), user("b", "unknown"))?.outcome).toBe("match");
  });

  test("matter only to rules that read what is missing", () => {
    const byUid = loaded(ruleText("s:\n  Uid: 0\ncondition: s", "logsource: { category: user, product: linux }"));
    const content = { users: [user("b", "unknown")] };
    expect(judgeSection(byUid, { name: "users", status: "collected", reason: "", content })[0]?.judged.outcome).toBe("clear");
  });
});

describe("a window", () => {
  const rules = loaded(ruleText("s:\n  User: root\ncondition: s"));
  const items = (User: string) => [{ category: "process_creation", product: "linux", fields: { User, Image: "x" } }];
  const judge = (User: string, incomplete?: string, missing_fields: string[] = []) =>
    judgeWindow(rules, rules.rules, items(User), { incomplete, missing_fields })[0]?.judged;

  test.each([
    ["root", undefined, [], "match"],
    ["alice", undefined, [], "clear"],
    ["alice", "the collector failed", [], "insufficient_evidence"],
    ["root", "the collector failed", [], "match"],
    ["alice", undefined, ["User"], "insufficient_evidence"],
    ["alice", undefined, ["CommandLine"], "clear"],
    ["root", undefined, ["User"], "match"],
  ])("%s, %s, %j: %s", (user, incomplete, missing, expected) => {
    expect(judge(user, incomplete, missing)?.outcome).toBe(expected);
  });

  test("a rule that reads what nobody collects is never clear", () => {
    const hashes = loaded(ruleText("s:\n  Hashes|contains: x\ncondition: s"));
    const [judgement] = judgeWindow(hashes, hashes.rules, items("alice"), { incomplete: undefined, missing_fields: [] });
    expect(judgement?.judged).toEqual({ outcome: "insufficient_evidence", reason: "not collected: Hashes" });
  });

  test("a rule of a category that nobody collects is never clear", () => {
    const files = loaded(ruleText("s:\n  Image: x\ncondition: s", "logsource: { category: file_event, product: linux }"));
    const [judgement] = judgeWindow(files, files.rules, [], { incomplete: undefined, missing_fields: [] });
    expect(judgement?.judged).toEqual({ outcome: "insufficient_evidence", reason: "nothing collects file_event/linux" });
  });
});
