import { isSecretName, type Mark, redactArguments } from "@assay/agent/parse/redact";

const mark: Mark = (secret) => `[REDACTED:${secret.length}]`;
const split = (line: string) => line.split(" ");

describe("secrets that are replaced", () => {
  const cases: readonly (readonly [args: readonly string[], expected: string])[] = [
    [split("app --password=hunter2 -v"), "app --password=[REDACTED:7] -v"],
    [split("app --password hunter2 -v"), "app --password [REDACTED:7] -v"],
    [["app", "--password", "two words"], "app --password [REDACTED:9]"],
    [["app", "--password=a;b, c"], "app --password=[REDACTED:6]"],
    [split("mysql -uroot -phunter2 db"), "mysql -uroot -p[REDACTED:7] db"],
    [split("/usr/bin/mysqldump --all -phunter2"), "/usr/bin/mysqldump --all -p[REDACTED:7]"],
    [split("sudo -u root mysql -phunter2"), "sudo -u root mysql -p[REDACTED:7]"],
    [split("sshpass -p hunter2 ssh -p 2222 host"), "sshpass -p [REDACTED:7] ssh -p 2222 host"],
    [split("sshpass -phunter2 ssh -p 2222 host"), "sshpass -p[REDACTED:7] ssh -p 2222 host"],
    [split("tool --token abc123 --api-key=def"), "tool --token [REDACTED:6] --api-key=[REDACTED:3]"],
    [split("tool --secret s3cr3t --client-secret=x"), "tool --secret [REDACTED:6] --client-secret=[REDACTED:1]"],
    [
      split("tool --db_password x -Dspring.datasource.password=y"),
      "tool --db_password [REDACTED:1] -Dspring.datasource.password=[REDACTED:1]",
    ],
    [split("psql postgres://app:hunter2@db.example/shop"), "psql postgres://app:[REDACTED:7]@db.example/shop"],
    [split("git clone https://me:tok@example.com/x.git"), "git clone https://me:[REDACTED:3]@example.com/x.git"],
    [["curl", "-H", "Authorization: Bearer abc.def-123"], "curl -H Authorization: Bearer [REDACTED:11]"],
    [["curl", "-H", "authorization: basic dXNlcjpwYXNz"], "curl -H authorization: basic [REDACTED:12]"],
    [["curl", "-H", "X-Api-Key: 12345"], "curl -H X-Api-Key: [REDACTED:5]"],
    [split("curl -u me:hunter2 https://example.com"), "curl -u me:[REDACTED:7] https://example.com"],
    [split("curl https://example.com/?user=a&token=b1&page=2"), "curl https://example.com/?user=a&token=[REDACTED:2]&page=2"],
    [split("env AWS_SECRET_ACCESS_KEY=abcd aws s3 ls"), "env AWS_SECRET_ACCESS_KEY=[REDACTED:4] aws s3 ls"],
    [split("env PASSWORD=x DB_PASS=y run"), "env PASSWORD=[REDACTED:1] DB_PASS=[REDACTED:1] run"],
    [split(`git push ghp_${"a1".repeat(18)}`), "git push [REDACTED:40]"],
    [split("aws configure set AKIAIOSFODNN7EXAMPLE"), "aws configure set [REDACTED:20]"],
    [split("slack xoxb-1234567890-abcdefghij"), "slack [REDACTED:26]"],
    [split("run eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"), "run [REDACTED:49]"],
    [split(`llm sk-proj-${"x".repeat(32)}`), "llm [REDACTED:40]"],
    [["write", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"], "write [REDACTED:66]"],
    [["sh", "-c", "mysql -phunter2 -e 'select 1'"], "sh -c mysql -p[REDACTED:7] -e 'select 1'"],
    [["bash", "-c", "export TOKEN=abc; PASSWORD='p q' run"], "bash -c export TOKEN=[REDACTED:4] PASSWORD='[REDACTED:3]' run"],
    [["backend", '{"DB_PASSWORD": "x1", "HOME": "/root"}'], 'backend {"DB_PASSWORD": "[REDACTED:2]", "HOME": "/root"}'],
    [["app", "Server=db;User Id=sa;Password=hunter2;Timeout=3"], "app Server=db;User Id=sa;Password=[REDACTED:7];Timeout=3"],
    [split("redis-cli -a hunter2 ping"), "redis-cli -a [REDACTED:7] ping"],
    [split("docker login -u me -p hunter2 registry"), "docker login -u me -p [REDACTED:7] registry"],
    [split("openssl rsa -in k.pem -passin pass:x"), "openssl rsa -in k.pem -passin [REDACTED:6]"],
    [split("docker run --env=DB_PASSWORD=hunter2 app"), "docker run --env=DB_PASSWORD=[REDACTED:7] app"],
    [split("kubectl create --from-literal=token=abc"), "kubectl create --from-literal=token=[REDACTED:3]"],
    [split("helm install --set=a=b,auth.password=hunter2"), "helm install --set=a=b,auth.password=[REDACTED:7]"],
    [split("npm config set //registry.example/:_authToken=abc"), "npm config set //registry.example/:_authToken=[REDACTED:3]"],
    [split("run __secret=abc"), "run __secret=[REDACTED:3]"],
    [split("redis-server --requirepass hunter2"), "redis-server --requirepass [REDACTED:7]"],
    [split("redis-server --masterauth hunter2"), "redis-server --masterauth [REDACTED:7]"],
    [split("env REDISCLI_AUTH=hunter2 redis-cli"), "env REDISCLI_AUTH=[REDACTED:7] redis-cli"],
    [split("keytool -storepass changeit -keypass changeit"), "keytool -storepass [REDACTED:8] -keypass [REDACTED:8]"],
    [split("app --dbpass=hunter2"), "app --dbpass=[REDACTED:7]"],
    [split("curl -ume:hunter2 https://example.com"), "curl -ume:[REDACTED:7] https://example.com"],
    [split("curl -sku me:hunter2 https://example.com"), "curl -sku me:[REDACTED:7] https://example.com"],
    [split("ldapsearch -whunter2 -x"), "ldapsearch -w[REDACTED:7] -x"],
    [split("curl -H X-Api-Key:12345"), "curl -H X-Api-Key:[REDACTED:5]"],
    [["curl", "--header=X-Api-Key: 12345"], "curl --header=X-Api-Key: [REDACTED:5]"],
    [["curl", "-H", "Authorization: ApiKey abc123"], "curl -H Authorization: ApiKey [REDACTED:6]"],
    [["curl", "-H", "Authorization: abc123"], "curl -H Authorization: [REDACTED:6]"],
    [["curl", "-H", "Cookie: session=abc; theme=dark"], "curl -H Cookie: [REDACTED:23]"],
    [split("curl -b session=abc https://example.com"), "curl -b [REDACTED:11] https://example.com"],
    [split("curl https://me:p@ss@example.com/x"), "curl https://me:[REDACTED:4]@example.com/x"],
    [["app", "--password=$ecret!1"], "app --password=[REDACTED:8]"],
    [["sh", "-c", 'curl -d "{\\"password\\":\\"hunter2\\"}" host'], 'sh -c curl -d "{\\"password\\":\\"[REDACTED:7]\\"}" host'],
    [["app", "db_password: hunter2"], "app db_password: [REDACTED:7]"],
  ];
  it.each(cases)("%j", (args, expected) => {
    expect(redactArguments(args, mark).join(" ")).toBe(expected);
  });
});

describe("what is no secret stays", () => {
  const cases = [
    "docker run -p 8080:80 nginx",
    "docker run --name mysql -p 3306:3306 mysql:8",
    "ssh -p 8080 host",
    "mkdir -p /srv/data",
    "mysql -p shop",
    "app --password-file=/run/secrets/x --token-ttl 5 --token-url https://example.com/token",
    "app --no-password --verbose",
    "app --allow-bypass strict --compass north",
    "npx http://127.0.0.1:8080/a@v1 http://example.com/@scope/pkg",
    "kube-apiserver --authorization-mode=RBAC --authorization=node",
    "curl -s http://example.com/token:latest",
    "docker push registry.example/team/token:1.2",
    "grep -u x",
    "app --password --verbose",
    "docker build --secret id=npm,src=/root/.npmrc .",
    "env PWD=/home/me OLDPWD=/ run",
    "run --password=$DB_PASSWORD",
    "run --password $DB_PASSWORD",
    "nginx: master process /usr/sbin/nginx -g daemon on;",
    "tar -cpf /backup.tar /etc/passwd",
    "less /etc/passwd",
    "curl -u me https://example.com:8443/a@b",
    "scp me@host:/srv/a.txt .",
    "task-runner disk-usage-of-a-long-name-indeed",
    "java -Xmx2g -jar /opt/app.jar --spring.config=/etc/app.yml",
    "pass show mail",
    "vault token lookup",
  ];
  it.each(cases)("%s", (line) => {
    expect(redactArguments(split(line), mark).join(" ")).toBe(line);
    expect(redactArguments([line], mark).join(" ")).toBe(line);
  });
});

it("tells secret names by how they end", () => {
  for (const name of ["password", "DB_PASSWORD", "api-key", "X_API_KEY", "accessToken", "smtp.pass"])
    expect(isSecretName(name)).toBe(true);
  for (const name of ["password-file", "token-ttl", "compass", "bypass", "PWD", "keyboard", "secrets-dir"])
    expect(isSecretName(name)).toBe(false);
});

it("marks a secret once, however often it is redacted", () => {
  const [, once = ""] = redactArguments(["app", "--password=hunter2"], mark);
  expect(redactArguments(["app", once], mark)[1]).toBe(once);
});

it("takes time in proportion to the length, also for hostile text", () => {
  const hostile = [
    "a://".repeat(2_000),
    "-----BEGIN ".repeat(740),
    "eyJ".repeat(2_700),
    `"a":"`.repeat(1_600),
    "x=".repeat(4_000),
    "'".repeat(8_000),
  ];
  const started = performance.now();
  for (const text of hostile) redactArguments(["sh", "-c", text, `${text} ${text}`.slice(0, 8_192)], mark);
  expect(performance.now() - started).toBeLessThan(1_500);
});
