/** docker-compose.yml against what it is about: settings, services, secrets. Needs no Docker. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { unknownSettings } from "@assay/runtime/unknown-settings";
import { parse } from "yaml";
import { serviceSettings } from "../src/distributed/settings";
import { settingsGroups } from "../src/embedded/settings-groups";
import { serviceNames } from "../src/embedded/thread-messages";
import { version } from "../src/run";

const root = join(__dirname, "../..");
const compose = yamlFile<Compose>("docker-compose.yml");
const services = Object.entries(compose.services);
const ours = services.filter(([, service]) => service.build !== undefined);
const dockerfile = readFileSync(join(root, "deploy/docker/Dockerfile"), "utf8");

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean }>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, { readonly file?: string }>>;
}

interface Service {
  readonly image: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly (string | { readonly source: string; readonly target: string })[];
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly networks?: readonly string[];
  readonly network_mode?: string;
  readonly container_name?: string;
  readonly restart?: string;
  readonly stop_grace_period?: string;
  readonly read_only?: boolean;
  readonly user?: string;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly deploy?: { readonly resources: { readonly limits: { readonly cpus: string; readonly memory: string } } };
}

function yamlFile<T>(path: string): T {
  return parse(readFileSync(join(root, path), "utf8"), { merge: true }) as T;
}

function service(name: string): Service {
  const found = compose.services[name];
  if (!found) throw new Error(`docker-compose.yml has no service ${name}`);
  return found;
}

/** One that ends by itself. */
function isOneShot(it: Service): boolean {
  return it.restart === "no";
}

describe("the services of docker-compose.yml", () => {
  test.each(serviceNames)("%s runs by its command, after setup has succeeded", (name) => {
    expect(service(name).command).toEqual(["service", name]);
    expect(service(name).depends_on?.setup).toEqual({ condition: "service_completed_successfully" });
  });

  test.each(ours)("%s is given only settings that there are, with values that can be read", (_, { environment = {} }) => {
    const given = Object.entries(environment).filter(([variable]) => variable.startsWith("ASSAY_"));
    expect(given).toEqual(Object.entries(environment));
    const definitions = settingsGroups.map((group) => group.definitions);
    expect(unknownSettings(environment, definitions)).toEqual([]);
    const declared = new Map(definitions.flatMap((d) => Object.values(d).map((setting) => [setting.variable, setting] as const)));
    const problems = given.flatMap(([variable, value]) => {
      const read = declared.get(variable)?.parse(value);
      return read !== undefined && "problem" in read ? [`${variable} ${read.problem}`] : [];
    });
    expect(problems).toEqual([]);
  });

  test.each(services)("%s has a health check that others can wait for, unless it is waited for to end", (_, it) => {
    if (isOneShot(it)) expect(it.healthcheck).toEqual({ disable: true });
    else expect(it.healthcheck?.test?.[0]).toMatch(/^CMD(-SHELL)?$/);
  });

  test("wait for each other to be healthy, or to have succeeded", () => {
    for (const [name, { depends_on = {} }] of services) {
      for (const [other, { condition }] of Object.entries(depends_on)) {
        const wanted = isOneShot(service(other)) ? "service_completed_successfully" : "service_healthy";
        expect(`${name} waits for ${other}: ${condition}`).toBe(`${name} waits for ${other}: ${wanted}`);
      }
    }
  });

  test.each(services)("%s is bounded, and may gain nothing", (_, it) => {
    expect(it.deploy?.resources.limits).toEqual({
      cpus: expect.stringMatching(/^\d/),
      memory: expect.stringMatching(/^\d+[mg]$/),
    });
    expect(it.security_opt).toContain("no-new-privileges:true");
    expect(it.cap_drop).toEqual(["ALL"]);
    expect(it.restart).toMatch(/^(unless-stopped|no)$/);
  });

  test.each(ours)("%s can't write its image", (_, it) => {
    expect(it.read_only).toBe(true);
  });

  test.each(serviceNames)("%s has the time to stop that it takes at most", (name) => {
    const { fallback } = serviceSettings.stop_wait_ms;
    const given_ms = Number(/^(\d+)s$/.exec(service(name).stop_grace_period ?? "")?.[1]) * 1_000;
    const of_the_process_ms = 5_000;
    expect(given_ms).toBeGreaterThan(fallback.given ? fallback.value + of_the_process_ms : Number.POSITIVE_INFINITY);
  });

  test.each(["correlator", "evaluator"])("%s can have replicas", (name) => {
    expect(service(name)).not.toHaveProperty("container_name");
    expect(service(name)).not.toHaveProperty("ports");
  });

  test("only ingest, report API and Grafana are published, on loopback where nothing else is said", () => {
    const published = services.filter(([, it]) => it.ports !== undefined);
    expect(published.map(([name]) => name).sort()).toEqual(["grafana", "ingest", "report-api"]);
    for (const [, { ports = [] }] of published) {
      for (const port of ports) expect(port).toMatch(/^\$\{PUBLISH_ADDRESS:-127\.0\.0\.1\}:\$\{[A-Z_]+:-\d+\}:\d+$/);
    }
    for (const [name, { networks }] of services) {
      expect([name, networks]).toEqual([name, published.some(([n]) => n === name) ? ["backend", "frontend"] : ["backend"]]);
    }
    expect(compose.networks.backend).toEqual({ internal: true });
  });

  test("keep their data in volumes that are declared", () => {
    const mounted = services.flatMap(([, { volumes = [] }]) => volumes.map((volume) => volume.split(":", 1)[0] ?? ""));
    const named = mounted.filter((source) => !source.startsWith("./"));
    expect(named.sort()).toEqual(Object.keys(compose.volumes).sort());
    for (const source of mounted.filter((s) => s.startsWith("./"))) expect(statSync(join(root, source))).toBeDefined();
  });

  test("are all scraped", () => {
    const { scrape_configs } = yamlFile<{
      scrape_configs: { job_name: string; dns_sd_configs?: { names: string[]; port: number }[] }[];
    }>("deploy/prometheus/prometheus.yml");
    const found = scrape_configs.find((job) => job.job_name === "assay")?.dns_sd_configs?.[0];
    expect(found?.names.toSorted()).toEqual(serviceNames.toSorted());
    for (const name of serviceNames) expect(service(name).environment?.ASSAY_METRICS_PORT).toBe(String(found?.port));
  });
});

describe("images", () => {
  const pinned = /^[\w./-]+:v?\d+\.\d+(\.\d+)+[\w.-]*$/;

  test.each(services)("%s has a version", (_, { image }) => {
    expect(image.replace(/^\$\{SERVICES_IMAGE:-(.*)\}$/, "$1")).toMatch(pinned);
  });

  test("of the schema registry is what the tests run against", () => {
    const pom = readFileSync(join(root, "deploy/local-kafka/pom.xml"), "utf8");
    const tested = /<artifactId>apicurio-registry-app<\/artifactId>\s*<version>(.*)<\/version>/.exec(pom)?.[1];
    expect(service("schema-registry").image).toMatch(new RegExp(`/apicurio-registry[a-z-]*:${tested}$`));
  });

  test("of ours have the version of the code", () => {
    for (const [, { image, build }] of ours) {
      expect(image).toContain(`:${version}`);
      expect(build).toEqual({ context: ".", dockerfile: "deploy/docker/Dockerfile" });
    }
    expect(dockerfile).toContain(`ARG VERSION=${version}\n`);
  });

  test("of ours are built upon one with a version, and run as a user that isn't root", () => {
    expect(/^ARG NODE_IMAGE=(.*)$/m.exec(dockerfile)?.[1]).toMatch(pinned);
    const stages = dockerfile.split(/^FROM /m).slice(1);
    for (const stage of stages) expect(stage).toMatch(/^(\$\{NODE_IMAGE\}|installed) AS [a-z]+\n/);
    expect(stages.at(-1)).toMatch(/^USER [1-9]\d*:[1-9]\d*$/m);
  });
});

describe("secrets", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "assay-secrets-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const makeSecrets = () =>
    spawnSync("sh", [join(root, "deploy/docker/make-secrets.sh"), join(folder, "secrets")], { encoding: "utf8" });

  test("are never in the environment of a container: it is told where they are", () => {
    for (const [name, { environment = {}, secrets = [] }] of services) {
      const handed = secrets.map((secret) => (typeof secret === "string" ? `/run/secrets/${secret}` : secret.target));
      for (const [variable, value] of Object.entries(environment)) {
        if (!/PASSWORD|SECRET|TOKEN|CREDENTIAL|_KEY/.test(variable)) continue;
        expect(`${name} ${variable}`).toMatch(/_FILE$/);
        expect(handed).toContain(value);
      }
    }
  });

  test("are files that make-secrets.sh makes, all of them and no others", () => {
    expect(makeSecrets()).toMatchObject({ status: 0, stderr: "" });
    const wanted = Object.values(compose.secrets).map(({ file = "" }) => file.replace("./deploy/docker/secrets/", ""));
    expect(readdirSync(join(folder, "secrets")).toSorted()).toEqual(wanted.toSorted());
    const used = services.flatMap(([, it]) => (it.secrets ?? []).map((s) => (typeof s === "string" ? s : s.source)));
    expect([...new Set(used)].sort()).toEqual(Object.keys(compose.secrets).sort());
  });

  test("are for their owner only on the host, and for any user in a container", () => {
    makeSecrets();
    expect(statSync(join(folder, "secrets")).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(join(folder, "secrets"))) {
      expect([name, statSync(join(folder, "secrets", name)).mode & 0o777]).toEqual([name, 0o444]);
    }
  });

  test("are random, and not replaced by a second run", () => {
    makeSecrets();
    const read = () => readdirSync(join(folder, "secrets")).map((name) => readFileSync(join(folder, "secrets", name), "utf8"));
    const made = read();
    expect(made.filter((content) => /^[0-9a-f]{64}$/.test(content))).toHaveLength(new Set(made).size - 1);
    expect(makeSecrets()).toMatchObject({ status: 1, stderr: expect.stringContaining("already there") });
    expect(read()).toEqual(made);
    expect(readdirSync(folder)).toEqual(["secrets"]);
  });

  test("stay out of the repository and out of the images", () => {
    expect(readFileSync(join(root, "deploy/docker/.gitignore"), "utf8").split("\n")).toContain("secrets/");
    expect(readFileSync(join(root, ".dockerignore"), "utf8").split("\n")).toContain("deploy/docker/secrets");
    for (const { file } of Object.values(compose.secrets)) expect(file).toMatch(/^\.\/deploy\/docker\/secrets\/[a-z.-]+$/);
  });

  test("each who asks ClickHouse is another user of it, and Grafana the one that may only read", () => {
    const users = readFileSync(join(root, "deploy/clickhouse/users.d/assay.xml"), "utf8");
    const { datasources } = yamlFile<{
      datasources: { name: string; jsonData: { username?: string }; secureJsonData?: { password: string } }[];
    }>("deploy/grafana/provisioning/datasources/assay.yml");
    const grafana = datasources.find((source) => source.name === "ClickHouse");
    expect(basename(/^\$__file\{(.*)\}$/.exec(grafana?.secureJsonData?.password ?? "")?.[1] ?? "")).toBe(
      "clickhouse-reader-password",
    );
    expect(service("grafana").secrets).toContain("clickhouse-reader-password");
    const grantsOf = (user: string | undefined) =>
      new RegExp(`<users>[\\s\\S]*<${user}>([\\s\\S]*)</${user}>`).exec(users)?.[1]?.match(/<query>.*<\/query>/g);
    expect(grantsOf(grafana?.jsonData.username)).toEqual(["<query>GRANT SELECT ON assay.*</query>"]);
    expect(grantsOf(service("evaluator").environment?.ASSAY_CLICKHOUSE_USER)).toEqual([
      "<query>GRANT SELECT, INSERT ON assay.*</query>",
    ]);
    expect(grantsOf(service("setup").environment?.ASSAY_CLICKHOUSE_USER)?.[0]).toContain("CREATE TABLE");
  });

  test("are handed to ClickHouse as hashes that come after the users whose they are", () => {
    makeSecrets();
    const read = (name: string) => readFileSync(join(folder, "secrets", name), "utf8");
    const hashes = read("clickhouse-hashes.xml");
    for (const [user, name] of [
      ["assay_migrator", "clickhouse-migrator-password"],
      ["assay", "clickhouse-password"],
      ["assay_reader", "clickhouse-reader-password"],
    ] as const) {
      const hash = createHash("sha256").update(read(name)).digest("hex");
      expect(hashes).toContain(`<${user}><password_sha256_hex replace="replace">${hash}</password_sha256_hex></${user}>`);
    }
    const names = [
      ...(service("clickhouse").volumes ?? []).map((volume) => basename(volume.split(":")[1] ?? "")),
      ...(service("clickhouse").secrets ?? []).map((secret) => (typeof secret === "string" ? secret : basename(secret.target))),
    ];
    expect(names).toEqual(expect.arrayContaining(["assay.xml", "assay_hashes.xml"]));
    expect("assay_hashes.xml" > "assay.xml").toBe(true);
  });
});
