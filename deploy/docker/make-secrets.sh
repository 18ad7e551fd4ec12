#!/bin/sh
# Writes the secrets of docker-compose.yml, made of random bytes, to deploy/docker/secrets. Never replaces one that is there: the
# volumes know the old one. The folder is for its owner only; the files in it can be read by any user, because a container's user sees
# just the files that it is handed, and has another number.
set -eu
umask 077

directory=${1:-$(dirname "$0")/secrets}
if [ -e "$directory" ]; then
  echo "make-secrets: $directory is already there, and is left as it is. To make new secrets, move it away; the stack's volumes then" >&2
  echo "make-secrets: need the new ones too (deploy/docker/README.md)." >&2
  exit 1
fi

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
hash() { printf %s "$1" | sha256sum | cut -d ' ' -f 1; }

migrator=$(random)
writer=$(random)
reader=$(random)
made=$(mktemp -d "$directory.XXXXXX")
trap 'rm -rf "$made"' EXIT

printf %s "$migrator" > "$made/clickhouse-migrator-password"
printf %s "$writer" > "$made/clickhouse-password"
printf %s "$reader" > "$made/clickhouse-reader-password"
random > "$made/api-key"
random > "$made/enrol-secret"
random > "$made/grafana-admin-password"
cat > "$made/clickhouse-hashes.xml" <<XML
<clickhouse>
  <users>
    <assay_migrator><password_sha256_hex replace="replace">$(hash "$migrator")</password_sha256_hex></assay_migrator>
    <assay><password_sha256_hex replace="replace">$(hash "$writer")</password_sha256_hex></assay>
    <assay_reader><password_sha256_hex replace="replace">$(hash "$reader")</password_sha256_hex></assay_reader>
  </users>
</clickhouse>
XML
chmod 0444 "$made"/*

# At once, so that a half-made folder is never used.
mv "$made" "$directory"
trap - EXIT
echo "make-secrets: wrote $(ls "$directory" | wc -l) files to $directory"
